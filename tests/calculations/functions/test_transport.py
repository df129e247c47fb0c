"""What all runs of a structure say together, and all structures of a study."""

from aiida import orm

from aiida_lpsgb.calculations.functions.transport import extrapolation_of, summarise, tabulate


def seen(n_extrapolated, n_graded, max_grade):
    return {"n_extrapolated": n_extrapolated, "n_graded": n_graded, "max_grade": max_grade}


def test_parts_of_a_run_are_added_up():
    parts = [seen(2, 50, 7.5), seen(0, 30, None), seen(1, 20, 3.0)]
    assert extrapolation_of(parts) == seen(3, 100, 7.5)
    assert extrapolation_of([seen(0, 10, None)]) == seen(0, 10, None)


def test_a_run_that_failed_is_watched_all_the_same(aiida_profile_clean):
    summary = summarise(
        run_t900k_p1_1=orm.Dict({"run": {}}),
        dynamics_t900k_p1_1_part_0=orm.Dict(seen(0, 50, 1.5)),
        dynamics_t900k_p1_1_part_1=orm.Dict(seen(1, 50, 6.0)),
        dynamics_t900k_p2_1_part_0=orm.Dict(seen(9, 10, 641.2)),
    )
    assert set(summary["runs"]) == {"t900k_p1_1"}
    assert summary["extrapolation"] == {"t900k_p1_1": seen(1, 100, 6.0), "t900k_p2_1": seen(9, 10, 641.2)}


def test_the_table_keeps_what_was_seen_with_the_potentials_before(aiida_profile_clean):
    def summary(**runs):
        return orm.Dict({"runs": {}, "extrapolation": {label: seen(*values) for label, values in runs.items()}})

    first = tabulate(crystal=summary(a=(1, 100, 6.0), b=(9, 100, 30.0)), given=summary())
    assert (first["crystal"]["n_returns"], first["crystal"]["extrapolated"]) == (0, seen(10, 200, 30.0))
    assert first["crystal"]["extrapolated_before"] == []
    assert first["given"]["extrapolated"] is None

    second = tabulate(before=first, crystal=summary(a=(0, 100, None)), given=summary(), late=summary(a=(0, 5, None)))
    third = tabulate(before=second, crystal=summary(a=(0, 100, 1.2)), late=summary(a=(1, 5, 3.0)))
    assert second["crystal"]["extrapolated_before"] == [seen(10, 200, 30.0)]
    assert third["crystal"]["n_returns"] == 2
    assert third["crystal"]["extrapolated_before"] == [seen(10, 200, 30.0), seen(0, 100, None)]
    # It failed at first.
    assert third["late"]["extrapolated_before"] == [None, seen(0, 5, None)]
