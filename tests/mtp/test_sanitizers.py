"""The tests of the binding and of the pair styles with a build under AddressSanitizer and UBSan."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Puts the sanitised module where the tests import it from, then runs them.
RUN_TESTS = """
import importlib.util, sys
import pytest
import aiida_lpsgb.mtp
spec = importlib.util.spec_from_file_location("aiida_lpsgb.mtp._core", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = aiida_lpsgb.mtp._core = module
spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Folder with a sanitised build."""
    if shutil.which("cmake") is None or shutil.which("g++") is None:
        pytest.skip("no cmake or no C++ compiler")
    folder = tmp_path_factory.mktemp("sanitised")
    configure = ["cmake", "-S", ROOT, "-B", folder, "-DMTP_SANITIZE=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    subprocess.run(configure, check=True)
    subprocess.run(["cmake", "--build", folder, "--target", "_core", "mtpplugin", "-j", "2"], check=True)
    return folder


def run_sanitised(build, *tests):
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # Python itself leaks by design. The preloaded library must come first, before the interpreter.
    env = dict(os.environ, LD_PRELOAD=" ".join(libraries), ASAN_OPTIONS="detect_leaks=0")
    env["MTP_TEST_PLUGIN"] = str(build / "mtpplugin.so")
    (module,) = build.glob("_core*.so")
    command = [sys.executable, "-c", RUN_TESTS, str(module), *tests]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


@pytest.mark.slow
def test_binding(build):
    run_sanitised(build, "tests/mtp/test_core.py")


@pytest.mark.slow
def test_pair_styles(build):
    run_sanitised(build, "tests/mtp/test_pair_style.py", "-k", "not conserved")
