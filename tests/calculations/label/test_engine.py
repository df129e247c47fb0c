"""How engines that label are found."""

import pytest
from aiida.plugins import entry_point

from aiida_lpsgb.calculations.label import engine
from aiida_lpsgb.calculations.label.ase import AseLabelCalculation


def test_engines_are_found_by_entry_point():
    assert "ase" in engine.names()
    assert engine.load("ase") is AseLabelCalculation
    assert engine.available()["ase"] is AseLabelCalculation


def test_every_engine_keeps_the_contract():
    for name, process in engine.available().items():
        spec = process.spec()
        assert {"configurations", "results"} <= set(spec.outputs), name
        assert spec.inputs["configurations"].required, name
        assert process.LEVELS.of_protocol(None) in process.LEVELS.levels, name
        assert any(code.status for code in spec.exit_codes.values()), name
        assert isinstance(process.CODE_PLUGIN, str), name
        assert {"fast", "moderate", "paper"} <= set(process.LEVELS.protocols), name


@pytest.fixture
def register(monkeypatch):
    """Return a function that registers an engine for the time of a test."""

    def factory(name, target):
        found = entry_point.eps()
        # AiiDA keeps what it has found.
        entry = type(next(iter(found)))(engine.PREFIX + name, target, "aiida.workflows")
        loaded, listed = engine.load_entry_point, engine.get_entry_point_names

        def load(group, full_name):
            if (group, full_name) != ("aiida.workflows", entry.name):
                return loaded(group, full_name)
            try:
                return entry.load()
            except ImportError as error:
                raise engine.LoadingEntryPointError(f"Failed:\n{error}") from error

        monkeypatch.setattr(engine, "load_entry_point", load)
        monkeypatch.setattr(
            engine,
            "get_entry_point_names",
            lambda group: [*listed(group), *([entry.name] if group == "aiida.workflows" else [])],
        )

    return factory


def test_an_engine_whose_plugin_is_not_installed(register):
    register("vasp", "no_such_plugin.label:Engine")
    assert "vasp" in engine.names()
    assert "ase" in engine.available()
    register("other", "no_such_plugin.label:Engine")
    assert "other" not in engine.available()
    with pytest.raises(ValueError, match="engine 'other' cannot be loaded: No module named 'no_such_plugin'"):
        engine.load("other")


def test_what_is_no_engine(register):
    register("dict", "aiida.orm:Dict")
    with pytest.raises(ValueError, match="engine 'dict': Dict does not derive from LabelEngine"):
        engine.load("dict")
    assert "dict" not in engine.available()


def test_a_code_of_another_plugin(installed_code):
    code = installed_code("lpsgb-mlp", "lpsgb.mlp.train")
    with pytest.raises(ValueError, match=r"is for lpsgb.mlp.train; engines are there for codes of .*\(ase\)"):
        engine.name_of(code)
    with pytest.raises(ValueError, match=r"is for lpsgb\.mlp\.train, this engine needs one for lpsgb.label.ase"):
        AseLabelCalculation.get_builder_from_protocol(code)
