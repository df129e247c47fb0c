"""Labels of results, nested or not."""

from aiida_lpsgb.workflows.outputs import flattened


def test_nested_and_flat_results_have_the_same_labels():
    flat = {"regions__boundary__tagged": 1, "regions__grain__tagged": 2, "total": 3}
    assert flattened(flat) == flat
    assert flattened({"regions": {"boundary": {"tagged": 1}, "grain": {"tagged": 2}}, "total": 3}) == flat
