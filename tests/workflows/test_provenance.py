"""From every diffusivity back to the CIF, the label engine and the seeds."""

from collections import defaultdict
from functools import cache

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage import get_manager

pytestmark = pytest.mark.daemon


@cache
def parents(profile):
    """Return what each node of a profile depends on directly, as pairs of the link's label and the PK, by its PK.

    All links are read at once: a study that has ended gets no others, and there are thousands of ways back.
    """
    query = orm.QueryBuilder().append(orm.Node, tag="parent", project="id")
    query.append(orm.Node, with_incoming="parent", project="id", edge_project=["label", "type"])
    found = defaultdict(list)
    for parent, child, label, link_type in query.iterall():
        if link_type in (LinkType.CREATE.value, LinkType.INPUT_CALC.value):
            found[child].append((label, parent))
    return found


def ancestor_pks(pk):
    """Return every node that a node depends on, through data and calculations (not through work chains)."""
    graph = parents(get_manager().get_profile().name)
    found, front = set(), [pk]
    while front:
        new = {parent for _, parent in graph[front.pop()]} - found
        found |= new
        front.extend(new)
    return found


def ancestors(node):
    """Return the same as nodes."""
    return orm.QueryBuilder().append(orm.Node, filters={"id": {"in": list(ancestor_pks(node.pk))}}).all(flat=True)


def diffusivities_of(study):
    """Return those of the crystal, of the boundary's cell and of its region, by link label."""
    links = study.base.links.get_outgoing(link_type=LinkType.RETURN).all()
    return {link.link_label: link.node for link in links if link.node.node_type.endswith("DiffusivityData.")}


def inputs_of(study):
    return {link.node.pk for link in study.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all()}


def test_every_node_on_the_way_was_created_by_a_process_or_given(study):
    given = inputs_of(study)
    way_of = {label: ancestor_pks(diffusivity.pk) for label, diffusivity in diffusivities_of(study).items()}
    on_the_way = orm.QueryBuilder().append(orm.Data, filters={"id": {"in": list(set().union(*way_of.values()))}})
    # Names and temperatures are read off the inputs and handed to the calculation that plans with them.
    orphans = {
        node.pk: node
        for node in on_the_way.all(flat=True)
        if node.creator is None and node.pk not in given and not isinstance(node, orm.List | orm.Str)
    }
    for label, way in way_of.items():
        lost = [orphans[pk] for pk in way & set(orphans)]
        assert lost == [], f"{label}: no process made {lost}, and the study was not given them"


def test_every_diffusivity_leads_to_the_cif_the_codes_and_the_seed(study):
    codes = {"lpsgb-mlp", "lmp", "lpsgb-label", "lpsgb-analyse"}
    for diffusivity in diffusivities_of(study).values():
        found = ancestors(diffusivity)
        assert study.inputs.crystal.pk in {node.pk for node in found}
        assert study.inputs.seed.pk in {node.pk for node in found}
        assert {node.label for node in found if isinstance(node, orm.AbstractCode)} == codes


def test_every_random_choice_on_the_way_derives_from_the_studys_seed(study):
    graph = parents(get_manager().get_profile().name)
    for label, diffusivity in diffusivities_of(study).items():
        on_the_way = ancestor_pks(diffusivity.pk)
        seeds = {pk for child in on_the_way for name, pk in graph[child] if "seed" in name}
        assert seeds
        for seed in seeds:
            assert study.inputs.seed.pk in {seed, *ancestor_pks(seed)}, f"{label}: {seed} derives from another seed"


def test_every_job_that_matters_is_on_the_way(study):
    needed = ("lpsgb.order", "lpsgb.start_set", "lpsgb.label.ase", "lpsgb.mlp.train", "lpsgb.md", "lpsgb.analyse")
    further = {
        "systems__crystal__diffusivities__t1000k_p1_1": ("lpsgb.supercell",),
        "systems__boundary__diffusivities__t1000k_p2_1": ("lpsgb.bicrystal", "lpsgb.learning.plan_committee"),
        "systems__boundary__regions__t1000k_p1_1__boundary_tagged": ("lpsgb.name_regions", "lpsgb.observe_region"),
        "systems__boundary__regions__t1000k_p1_1__core_tagged": ("lpsgb.add_core",),
    }
    found = diffusivities_of(study)
    for label, names in further.items():
        types = {node.process_type for node in ancestors(found[label]) if isinstance(node, orm.ProcessNode)}
        assert {f"aiida.calculations:{name}" for name in (*needed, *names)} <= types, label


def test_every_output_of_the_study_was_created_by_a_process(study):
    for link in study.base.links.get_outgoing(link_type=LinkType.RETURN).all():
        assert link.node.creator is not None, link.link_label
