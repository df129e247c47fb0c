"""The tests of the bindings and of the pair styles with a build under AddressSanitizer and UBSan."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULES = ("_core", "_tools", "_training")
# Puts the sanitised modules where the tests import them from, then runs them.
RUN_TESTS = """
import importlib.util, sys
sys.path.remove("")  # the clone, in whose sources there are no compiled modules
import pytest
import aiida_lpsgb.mtp
for path in sys.argv[1:4]:
    name = path.split("/")[-1].split(".")[0]
    spec = importlib.util.spec_from_file_location("aiida_lpsgb.mtp." + name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    setattr(aiida_lpsgb.mtp, name, module)
    spec.loader.exec_module(module)
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[4:]]))
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Folder with a sanitised build."""
    if shutil.which("cmake") is None or shutil.which("g++") is None:
        pytest.skip("no cmake or no C++ compiler")
    folder = tmp_path_factory.mktemp("sanitised")
    configure = ["cmake", "-S", ROOT, "-B", folder, "-DMTP_SANITIZE=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    subprocess.run(configure, check=True)
    subprocess.run(["cmake", "--build", folder, "--target", *MODULES, "mtpplugin", "-j", "2"], check=True)
    return folder


def run_sanitised(build, *tests):
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # Python itself leaks by design. The preloaded library must come first, before the interpreter.
    env = dict(os.environ, LD_PRELOAD=" ".join(libraries), ASAN_OPTIONS="detect_leaks=0")
    env["MTP_TEST_PLUGIN"] = str(build / "mtpplugin.so")
    modules = [str(path) for name in MODULES for path in build.glob(f"{name}.*so")]
    command = [sys.executable, "-c", RUN_TESTS, *modules, *tests]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


@pytest.mark.slow
def test_bindings(build):
    run_sanitised(build, "tests/mtp/test_core.py", "tests/mtp/test_training.py", "tests/mtp/test_selection.py")
    run_sanitised(build, "tests/mtp/test_configurations.py")


@pytest.mark.slow
def test_pair_styles(build):
    run_sanitised(build, "tests/mtp/test_pair_style.py", "-k", "not conserved")
