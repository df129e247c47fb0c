"""Write an archive of the miniature study, as this version of the package stores one.

    verdi run tests/archives/make.py NAME.aiida

in a profile with a running daemon. An archive that a released version has made is never made anew: later versions must
import, query and report it.
"""

import importlib.util
import sys
from pathlib import Path

from aiida.engine import submit
from aiida.tools.archive import create_archive

from aiida_lpsgb.cli.watch import follow

# `verdi run` sets __file__ to the bare file name, but argv[0] to the path.
CONFTEST = Path(sys.argv[0]).resolve().parents[1] / "workflows" / "conftest.py"


def main() -> None:
    """Run the miniature study and export it with everything that it came from."""
    spec = importlib.util.spec_from_file_location("miniature", CONFTEST)
    miniature = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(miniature)
    study = follow(submit(miniature.build()))
    if not study.is_finished_ok:
        raise SystemExit(f"the study ended with [{study.exit_status}] {study.exit_message}")
    create_archive([study], filename=Path(sys.argv[1]), overwrite=True)
    print(f"{study.uuid} {Path(sys.argv[1]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
