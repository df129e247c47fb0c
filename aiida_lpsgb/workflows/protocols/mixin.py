"""Turn YAML files of protocols into builders that are made of their children's builders."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, WorkChain
from aiida.engine.processes.ports import PortNamespace

from aiida_lpsgb.calculations.protocols import ProtocolReader

CODE_ROLES = {
    "mlp": ("lpsgb.mlp",),
    "md": ("lpsgb.md", "lammps."),
    "label": (),
    "relax": ("lpsgb.label.ase",),
    "analyse": ("lpsgb.analyse",),
}
"""The codes that work chains take, with how the name of the plugin that each is registered for begins. `relax` is
`lpsgb-label` where `label` is another program."""


class ProtocolMixin(ProtocolReader, WorkChain):
    """Makes builders with the numbers of a protocol, and checks what they hold."""

    @classmethod
    def checked(cls, builder: ProcessBuilder) -> ProcessBuilder:
        """The builder, where its inputs fit each other as far as they are there.

        Raises
        ------
        ValueError
            As the submission would refuse it.
        """
        if message := inputs_error(cls.spec().inputs, builder._inputs(prune=True)):
            raise ValueError(message)
        return builder

    @staticmethod
    def draw_seed() -> orm.Int:
        """A seed drawn once; it is stored with the process it is given to."""
        return orm.Int(secrets.randbelow(2**31 - 1) + 1)


def fill_in(builder: Any, **inputs: orm.Data | Mapping[str, orm.Data] | None) -> None:
    """Put those inputs into a builder that are not None; namespaces are dictionaries."""
    for port, value in inputs.items():
        if value is not None:
            builder[port] = dict(value) if isinstance(value, Mapping) else value


def inputs_error(namespace: PortNamespace, values: Mapping[str, Any]) -> str | None:
    """What a namespace and those in it say against values of which some may still be missing, or None."""
    for name, port in namespace.items():
        inner = values.get(name)
        if isinstance(port, PortNamespace) and inner and (message := inputs_error(port, inner)):
            return f"{name}.{message}"
    return namespace.validator(values, namespace) if namespace.validator else None


def fill_job(
    job: Any, codes: Mapping[str, orm.AbstractCode], values: Mapping[str, Any], role: str, job_role: str | None = None
) -> None:
    """Put the code of a role into the namespace of a job, and the options of what it does, where that differs."""
    job.code = code_of(codes, role)
    job.metadata.options = values["options"][job_role or role]


def child_inputs(builder: Any) -> dict[str, Any]:
    """What a child's builder holds, to be given to the parent's namespace of it."""
    return builder._inputs(prune=True)


def inputs_of_child(
    child: type[ProtocolMixin],
    codes: Mapping[str, orm.AbstractCode],
    values: Mapping[str, Any],
    entry: str,
    path: str = "",
    **more: Any,
) -> dict[str, Any]:
    """What the builder of a child holds by the same protocol, with the entry of the parent's that bears its name."""
    own = {"protocol": values["protocol"], "options": values["options"], "path": f"{path}{entry}."}
    return child_inputs(child.get_builder_from_protocol(codes, overrides=values[entry], **own, **more))


def code_of(codes: Mapping[str, orm.AbstractCode], role: str) -> orm.AbstractCode:
    """The code for a role.

    Raises
    ------
    ValueError
        If it is missing, or registered for a plugin of another role.
    """
    if unknown := sorted(set(codes) - set(CODE_ROLES)):
        raise ValueError(f"codes: unknown {', '.join(unknown)}; the roles are {', '.join(CODE_ROLES)}")
    if role not in codes:
        raise ValueError(f"codes: {role!r} is missing; given are {', '.join(sorted(codes)) or 'none'}")
    code, plugins = codes[role], CODE_ROLES[role]
    plugin = code.default_calc_job_plugin
    if plugin and plugins and not plugin.startswith(plugins):
        raise ValueError(f"codes: {role!r} is {code.full_label}, which is registered for {plugin}")
    return code


def load_codes(computer: str = "localhost") -> dict[str, orm.AbstractCode]:
    """The codes by role as ``aiida-lpsgb quicksetup`` registers them on a computer."""
    labels = {"mlp": "lpsgb-mlp", "md": "lmp", "label": "lpsgb-label", "analyse": "lpsgb-analyse"}
    return {role: orm.load_code(f"{label}@{computer}") for role, label in labels.items()}
