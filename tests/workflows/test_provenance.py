"""From every diffusivity back to the CIF, the label engine and the seeds."""

import pytest
from aiida import orm
from aiida.common.links import LinkType

pytestmark = pytest.mark.daemon


def ancestors(node):
    """Return every node that a node depends on, through data and calculations (not through work chains)."""
    found, front = {}, [node]
    while front:
        current = front.pop()
        links = current.base.links.get_incoming(link_type=(LinkType.CREATE, LinkType.INPUT_CALC)).all()
        new = [link.node for link in links if link.node.pk not in found]
        found.update({one.pk: one for one in new})
        front.extend(new)
    return list(found.values())


def diffusivities_of(study):
    """Return those of the crystal, of the boundary's cell and of its region, by link label."""
    links = study.base.links.get_outgoing(link_type=LinkType.RETURN).all()
    return {link.link_label: link.node for link in links if link.node.node_type.endswith("DiffusivityData.")}


def inputs_of(study):
    return {link.node.pk for link in study.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all()}


def test_every_node_on_the_way_was_created_by_a_process_or_given(study):
    given = inputs_of(study)
    for label, diffusivity in diffusivities_of(study).items():
        data = [node for node in ancestors(diffusivity) if isinstance(node, orm.Data)]
        # Names and temperatures are read off the inputs and handed to the calculation that plans with them.
        given_or_made = [
            node.creator is not None or node.pk in given or isinstance(node, orm.List | orm.Str) for node in data
        ]
        orphans = [node for node, well in zip(data, given_or_made, strict=True) if not well]
        assert orphans == [], f"{label}: no process made {orphans}, and the study was not given them"


def test_every_diffusivity_leads_to_the_cif_the_codes_and_the_seed(study):
    codes = {"lpsgb-mlp", "lmp", "lpsgb-label", "lpsgb-analyse"}
    for diffusivity in diffusivities_of(study).values():
        found = ancestors(diffusivity)
        assert study.inputs.crystal.pk in {node.pk for node in found}
        assert study.inputs.seed.pk in {node.pk for node in found}
        assert {node.label for node in found if isinstance(node, orm.AbstractCode)} == codes


def test_every_random_choice_on_the_way_derives_from_the_studys_seed(study):
    for diffusivity in diffusivities_of(study).values():
        processes = [node for node in ancestors(diffusivity) if isinstance(node, orm.ProcessNode)]
        seeds = [
            link.node
            for process in processes
            for link in process.base.links.get_incoming().all()
            if "seed" in link.link_label
        ]
        assert seeds
        for seed in seeds:
            origins = [seed, *ancestors(seed)]
            assert study.inputs.seed.pk in {node.pk for node in origins}, (
                f"{seed} does not derive from the study's seed"
            )


def test_every_job_that_matters_is_on_the_way(study):
    needed = ("lpsgb.order", "lpsgb.start_set", "lpsgb.label.ase", "lpsgb.mlp.train", "lpsgb.md", "lpsgb.analyse")
    further = {
        "systems__crystal__diffusivities__t1000k_p1_1": ("lpsgb.supercell",),
        "systems__boundary__diffusivities__t1000k_p2_1": ("lpsgb.bicrystal", "lpsgb.learning.plan_committee"),
        "systems__boundary__regions__t1000k_p1_1__boundary_tagged": ("lpsgb.name_regions", "lpsgb.observe_region"),
    }
    found = diffusivities_of(study)
    for label, names in further.items():
        types = {node.process_type for node in ancestors(found[label]) if isinstance(node, orm.ProcessNode)}
        assert {f"aiida.calculations:{name}" for name in (*needed, *names)} <= types, label


def test_every_output_of_the_study_was_created_by_a_process(study):
    for link in study.base.links.get_outgoing(link_type=LinkType.RETURN).all():
        assert link.node.creator is not None, link.link_label
