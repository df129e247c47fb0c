"""The sub-commands of ``lpsgb-mlp`` that train and make potentials, as MLIP-2's ``mlp`` has them.

The program itself, with the others, is ``src/mlp.cpp``, which starts this module. Potentials and configurations name
species by numbers, so none of the commands needs chemical symbols.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from aiida_lpsgb.programs import Parser, count, ended, not_negative, positive, threads

__all__ = ["main"]


class _Parser(Parser):
    STATUS = 2  # as the commands in C++ have it


def _default_threads() -> int:
    """Return OMP_NUM_THREADS where it is a positive integer, else 1."""
    text = os.environ.get("OMP_NUM_THREADS", "1")
    return max(int(text), 1) if text.isdigit() else 1


def _symbols(count: int) -> list[str]:
    """Stand-ins for the species that the files number: the elements in their order."""
    from ase.data import chemical_symbols

    if count >= len(chemical_symbols):
        raise ValueError(f"at most {len(chemical_symbols) - 1} species are supported, got {count}")
    return list(chemical_symbols[1 : count + 1])


def _read(path: str, species: Sequence[str]) -> list:
    from aiida_lpsgb.mtp.configurations import read_cfg

    images = read_cfg(path, species)
    if not images:
        raise ValueError(f"{path} holds no configuration")
    return images


def _potential(path: str, trained: bool = True):
    from aiida_lpsgb.mtp.potential import MTP

    mtp = MTP.read(path)
    if trained and not mtp.trained:
        raise ValueError(f"{path} has no coefficients: it must be trained first")
    return mtp, _symbols(mtp.n_species)


def _say(text: str) -> None:
    print(text, flush=True)


def _train(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from aiida_lpsgb.mtp.configurations import structure_of
    from aiida_lpsgb.mtp.errors import evaluate_errors
    from aiida_lpsgb.mtp.training import Weights, train

    if bool(args.prior) != bool(args.prior_set):
        raise ValueError("--prior and --prior-set go together")
    mtp, species = _potential(args.potential, trained=False)
    images = _read(args.train_set, species)
    validation = _read(args.valid_cfgs, species) if args.valid_cfgs else None
    _say(f"MTPR from {args.potential}, Database: {args.train_set}")
    if args.update_mindist:
        shortest = min(structure_of(atoms, species).shortest_distance() for atoms in images)
        _say(f"Found configuration with mindist={shortest:g}, MTP's mindist will be decreased")
        mtp = replace(mtp, min_distance=0.99 * shortest)
    weights = Weights(args.energy_weight, args.force_weight, args.stress_weight, args.scale_by_force, args.weighting)
    _say(f"{len(images)} configurations, {mtp.n_parameters} parameters, {args.threads} threads")
    _say(f"Iterations count set to {args.max_iter}\nConvergence tolerance set to {args.bfgs_conv_tol:g}")
    _say(f"Energy weight: {weights.energy:g}\nForce weight: {weights.force:g}\nStress weight: {weights.stress:g}")

    def progress(iteration: int, loss: float, current) -> None:
        # Spelled as MLIP-2's line, so that what reads its logs reads ours.
        _say(f"BFGS iter {iteration}: f={loss:g}")
        if args.curr_pot_name:
            _write_potential(current, args.curr_pot_name)

    result = train(
        mtp,
        images,
        species,
        weights=weights,
        image_weights=_image_weights(images, args.weight_feature, args.bootstrap_seed),
        regularisation=args.l2,
        max_iter=args.max_iter,
        tolerance=args.bfgs_conv_tol,
        seed=args.seed,
        threads=args.threads,
        starts=1 if args.skip_preinit else args.starts,
        init=args.init_params,
        prior=_prior(args, species) if args.prior else None,
        progress=progress,
    )
    _say("BFGS ended due to small decr. of the loss" if result.converged else "step limit reached")
    _say("MTPR training ended")
    _write_potential(result.mtp, args.trained_pot_name)
    _say(f"\n\t\t* * * TRAIN ERRORS * * *\n\n{evaluate_errors(result.mtp, images, species)}")
    if validation is not None:
        _say(f"\n\t\t* * * VALIDATION ERRORS * * *\n\n{evaluate_errors(result.mtp, validation, species)}")


def _prior(args: argparse.Namespace, species: Sequence[str]):
    from aiida_lpsgb.mtp.training import Prior

    prior = Prior(_potential(args.prior)[0], _read(args.prior_set, species), args.prior_weight)
    _say(f"Prior: {args.prior}, of {len(prior.images)} configurations, which count as {prior.weight:g}")
    return prior


def _write_potential(mtp, path: str) -> None:
    """Write by way of a second file, so that a killed run leaves a whole potential."""
    temporary = f"{path}.new"
    mtp.write(temporary)
    os.replace(temporary, path)


def _image_weights(images: list, feature: str | None, bootstrap_seed: int | None) -> list[float]:
    """Weights that the configurations carry as a feature, 1 where they do not, times those of the bootstrap."""
    from aiida_lpsgb.mtp.training import bootstrap_weights

    factors = [1.0] * len(images) if bootstrap_seed is None else bootstrap_weights(len(images), bootstrap_seed)
    try:
        return [
            float(factor) * float(atoms.info.get("features", {}).get(feature, 1.0))
            for atoms, factor in zip(images, factors, strict=True)
        ]
    except ValueError:
        raise ValueError(f"the feature {feature} of a configuration is not a number") from None


def _init(args: argparse.Namespace) -> None:
    from aiida_lpsgb.mtp.basis import transferred, untrained

    source = _potential(args.start)[0] if args.start else None
    mtp = untrained(
        args.level,
        args.species_count,
        args.min_dist if source is None else source.min_distance,
        args.max_dist if source is None else source.cutoff,
        args.radial_basis_size,
        args.seed,
        args.radial_basis_type if source is None else source.radial_basis_type,
    )
    if source is not None:
        mtp = transferred(source, mtp, args.seed or 0)
    mtp.write(args.output)
    _say(f"level {args.level}: {mtp.n_parameters} parameters, {len(mtp.moment_mapping)} basis functions")


def _add_train(commands) -> None:
    parser = commands.add_parser("train", help="fit a potential", description="Fit a potential to configurations.")
    parser.add_argument("potential", help="potential to start from (.mtp)")
    parser.add_argument("train_set", help="labelled configurations (.cfg)")
    parser.add_argument("--energy-weight", type=not_negative, default=1.0, metavar="X", help="default 1")
    parser.add_argument("--force-weight", type=not_negative, default=0.01, metavar="X", help="default 0.01")
    parser.add_argument("--stress-weight", type=not_negative, default=0.001, metavar="X", help="default 0.001")
    parser.add_argument("--scale-by-force", type=not_negative, default=0.0, metavar="X", help="default 0 (not)")
    parser.add_argument("--valid-cfgs", metavar="FILE", help="configurations to validate on")
    parser.add_argument("--max-iter", type=count, default=1000, metavar="N", help="default 1000")
    parser.add_argument("--curr-pot-name", metavar="FILE", help="save the potential there in each iteration")
    parser.add_argument("--trained-pot-name", default="Trained.mtp_", metavar="FILE", help="default Trained.mtp_")
    parser.add_argument(
        "--bfgs-conv-tol",
        type=not_negative,
        default=2e-4,
        metavar="X",
        help="smallest relative fall in 10 iterations, default 2e-4",
    )
    parser.add_argument("--weighting", choices=("vibrations", "molecules", "structures"), default="vibrations")
    parser.add_argument("--weight-feature", metavar="NAME", help="feature that holds a configuration's weight")
    parser.add_argument(
        "--l2", type=not_negative, default=0.0, metavar="X", help="factor of the coefficients' squares, default 0"
    )
    parser.add_argument(
        "--prior", metavar="FILE", help="potential of another level of theory to stay near, as far as it knows"
    )
    parser.add_argument("--prior-set", metavar="FILE", help="labelled configurations that it was trained on")
    parser.add_argument(
        "--prior-weight", type=not_negative, default=8.0, metavar="X", help="as how many these count, default 8"
    )
    parser.add_argument(
        "--init-params", choices=("random", "same"), help="radial coefficients of pairs of species; default: by turns"
    )
    parser.add_argument(
        "--starts", type=threads, default=16, metavar="N", help="random starts, of which the best goes on, default 16"
    )
    parser.add_argument("--skip-preinit", action="store_true", help="only one start, as --starts=1")
    parser.add_argument("--update-mindist", action="store_true", help="set min_dist to 0.99 of the shortest distance")
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of the initial coefficients, default 0")
    parser.add_argument(
        "--bootstrap-seed",
        type=count,
        metavar="N",
        help="weight the configurations at random by this seed: a Bayesian bootstrap (for a committee)",
    )
    parser.add_argument("--threads", type=threads, default=_default_threads(), metavar="N")
    parser.set_defaults(run=_train)


def _add_init(commands) -> None:
    parser = commands.add_parser("init", help="make an untrained potential of a level")
    parser.add_argument("level", type=count)
    parser.add_argument("species_count", type=threads)
    parser.add_argument("output")
    parser.add_argument("--min-dist", type=not_negative, default=1.5, metavar="X", help="Å, default 1.5")
    parser.add_argument("--max-dist", type=positive, default=5.0, metavar="X", help="cut-off, Å, default 5")
    parser.add_argument("--radial-basis-size", type=threads, default=8, metavar="N", help="default 8")
    parser.add_argument("--radial-basis-type", default="RBChebyshev", metavar="NAME")
    parser.add_argument("--start", metavar="FILE", help="trained potential of a lower level to take coefficients from")
    parser.add_argument("--seed", type=count, metavar="N", help="with it, random coefficients are written")
    parser.set_defaults(run=_init)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lpsgb-mlp", description="Train, grade and select with moment tensor potentials.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for add in (_add_train, _add_init):
        add(commands)
    # For the list of commands; the program answers these itself.
    for name, text in {
        "calc-errors": "compare a potential with labelled configurations",
        "calc-efs": "calculate energies, forces and stresses",
        "mindist": "find the shortest distance, and write it to the configurations",
        "calc-grade": "grade configurations by the active set of a training set",
        "select-add": "select configurations that a training set should be extended by",
    }.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv
        Arguments, those of the process by default.

    Returns
    -------
    int
        As of :func:`aiida_lpsgb.programs.ended`.
    """
    parser = _parser()
    args = parser.parse_args(None if argv is None else list(argv))
    if "run" not in args:
        parser.error(f"{args.command} is a command of the program lpsgb-mlp")
    return ended(lambda: args.run(args) or 0)


if __name__ == "__main__":
    sys.exit(main())
