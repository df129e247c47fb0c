"""What parsers of programs have in common: the text of retrieved files, and the signal that ended a program."""

from __future__ import annotations

import re
import signal

from aiida.common.exceptions import NotExistent
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_lpsgb.calculations.program import EXIT_STATUS_FILE

#: Signals that a program gives itself by what it does. One such as SIGTERM comes from outside.
CRASHES = (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)
#: Exit statuses that tell a signal: 128 + n by shells, OpenMPI and SLURM, -n (of 256) by programs that Python starts.
SIGNALS = {status: number for number in (*CRASHES, signal.SIGKILL) for status in (128 + number, 256 - number)}
#: What launchers print that have an exit status of their own, such as MPICH's. That is the bitwise or of all processes'
#: signals, with the 9 of those that it kills itself: of SIGSEGV (11) it tells; SIGABRT (6) of one of several looks like
#: SIGTERM (15), and is one from outside.
LAUNCHER = re.compile(r"(?:EXIT STRING: .*\(|exited on )signal (\d+)")

#: What MPICH's launcher prints where it gives up, as it sometimes does when several processes end by a signal at once:
#: of which it does not tell any more, and what is left of them it kills.
LOST = "process manager error waiting for completion"


def signal_of(status: str, printed: str = "") -> signal.Signals | None:
    """The signal by which a program crashed or was killed; None if there is none, or one from outside.

    Parameters
    ----------
    status
        Exit status as the job noted it; empty where the job itself was ended.
    printed
        Everything that the job printed.
    """
    found = SIGNALS.get(int(status)) if status.strip().isdigit() else None
    if found is None and (match := LAUNCHER.search(printed)):
        found = next((number for number in SIGNALS.values() if number == int(match[1])), None)
    return signal.SIGKILL if found is None and LOST in printed else found


class ProgramParser(Parser):
    """Base of the parsers of jobs that run one program."""

    def read(self, name: str | None) -> str:
        """Text of a retrieved file; empty where there is none."""
        try:
            return self.retrieved.base.repository.get_object_content(name, mode="rb").decode(errors="replace")
        except (FileNotFoundError, NotExistent, OSError, TypeError):
            return ""

    def signalled(self, detail: str = "", advice: str = "") -> ExitCode | None:
        """Exit code of a program that crashed or was killed by a signal; None of one that was not.

        Parameters
        ----------
        detail
            How far it came; it goes on in the sentence that names the signal.
        advice
            Why such a program crashes and what to do, which goes on after that.
        """
        options = ("output_filename", "scheduler_stdout", "scheduler_stderr")
        printed = "\n".join(self.read(self.node.get_option(option)) for option in options)
        found = signal_of(self.read(EXIT_STATUS_FILE), printed)
        if found is None:
            return None
        if found == signal.SIGKILL:
            return self.exit_codes.ERROR_KILLED.format(signal=found.name, detail=detail)
        name = f"{found.name} ({signal.strsignal(found).lower()})"
        return self.exit_codes.ERROR_CRASHED.format(signal=name, detail=detail + advice)
