"""Where a key belongs, and what it is called here: the messages for keys that are elsewhere.

A key may be in the wrong section, or have the name that another library gives it. The same words
are recognised in a configuration, in `--set` and among the arguments of `solve`.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, get_args

from .._fields import convert, fields_of
from ..algorithms import METHODS
from ..errors import Synonyms, UserError, did_you_mean, folded, known_as, shown
from ..network import TOPOLOGIES, TOPOLOGY_FIELDS, graph_options
from ..problems import option_names, problem_class
from .auto_steps import AUTO
from .method import split_name
from .run_section import RUN_FIELDS, Checkpoint
from .schema import SECTIONS, STEPS, MethodTable, ProblemTable


class Called(NamedTuple):
    """What other libraries call a key or section.

    Parameters
    ----------
    section, key : str
        What it is here; without a key the section as a whole.
    example : object
        A value of the key, for messages.
    words : str
        Its other names, separated by spaces.
    argument : str
        The argument of `solve`, where that is neither the section nor the key.
    """

    section: str
    key: str
    example: Any
    words: str
    argument: str = ""


SYNONYMS = (
    Called("steps", "alpha", 0.1, "lr learning_rate step_size eta lr_x lr_upper outer_lr upper_lr"),
    Called("steps", "beta", 0.1, "lr_y lr_lower inner_lr lower_lr"),
    Called("steps", "theta", 0.2, "momentum moving_average ema"),
    Called("steps", "", AUTO, "tune auto_tune autotune auto_steps find_lr lr_find"),
    Called(
        "run",
        "iterations",
        1000,
        "maxiter max_iter max_iters max_iterations niter niters n_iter n_iters num_iter num_iters "
        "n_iterations num_iterations number_of_iterations iter iters nit epochs epoch n_epochs "
        "num_epochs max_epochs max_steps n_steps num_steps train_steps rounds num_rounds n_rounds "
        "budget T K",
    ),
    Called(
        "run",
        "stop",
        {"metric": "hypergradient_norm", "below": 1e-4},
        "tol tolerance ftol gtol xtol atol rtol eps epsilon target_loss stopping "
        "stop_rule stopping_criterion convergence",
    ),
    Called(
        "run",
        "stop",
        {"metric": "hypergradient_norm", "patience": 10},
        "patience early_stopping early_stop n_iter_no_change",
    ),
    Called(
        "run",
        "best",
        "phi",
        "save_best keep_best best_metric save_best_only model_checkpoint",
    ),
    Called("run", "log", "tensorboard", "logger loggers log_to report_to"),
    Called("run", "trace", True, "profile profiler profiling timeline"),
    Called(
        "run",
        "agents",
        8,
        "n_agents num_agents nagents number_of_agents n_nodes num_nodes nodes n_workers "
        "num_workers n_clients num_clients clients world_size n_peers peers n m",
    ),
    Called("run", "seed", 0, "random_state random_seed rng rng_seed prng_key"),
    Called("run", "dtype", "float32", "precision float_type"),
    Called("run", "device", "cuda", "accelerator gpu gpus use_gpu cuda"),
    Called(
        "run",
        "evaluate_every",
        50,
        "eval_every eval_interval eval_freq log_every log_every_n_steps log_interval log_freq "
        "print_every report_every val_check_interval eval_period evaluation_interval",
    ),
    Called(
        "run",
        "out",
        "runs/mine",
        "out_dir output output_dir outdir folder directory save_dir save_path log_dir logdir "
        "default_root_dir root_dir run_dir",
    ),
    Called("run", "start", "runs/a/result.h5", "x_init x_start init initial_guess guess", "x0"),
    Called("run", "start", "runs/a/result.h5", "y_init y_start", "y0"),
    Called("run", "max_seconds", 3600, "timeout time_limit max_time maxtime max_runtime"),
    Called("run", "threads", 1, "n_threads num_threads nthreads"),
    Called("run", "workers", 2, "max_workers worker_threads n_jobs"),
    Called(
        "checkpoint",
        "every",
        100,
        "checkpoint_every checkpoint_interval save_every save_interval save_freq "
        "every_n_train_steps",
    ),
    Called("checkpoint", "keep", 2, "save_top_k max_to_keep keep_last"),
    Called(
        "topology",
        "name",
        "ring",
        "graph network graph_type network_type topology_name W mixing mixing_matrix "
        "weight_matrix gossip gossip_matrix adjacency adjacency_matrix edges_list communication",
    ),
    Called("method", "name", "sparkle", "algorithm algo optimizer optim method_name solver"),
    Called("problem", "name", "quadratic", "objective task model_file problem_name dataset"),
    Called("problem", "batch", 32, "batch_size batchsize minibatch mini_batch bs"),
    Called("", "", None, "verbose disp display show_progress progress_bar pbar tqdm", "progress"),
    Called("", "", None, "callbacks hook hooks observer observers listener", "callback"),
    Called("run", "", None, "training train trainer options settings general"),
)
"""What other libraries call the keys of a configuration."""


def check_places(tables: Mapping[str, Any]) -> None:
    """Raise UserError for a key that is at home in another section, or has another name here.

    Parameters
    ----------
    tables : Mapping
        Section -> table, not checked yet. Keys that are known nowhere are left to later checks, and
        so is `[problem]`, whose keys its class knows.
    """
    problem = tables.get("problem")
    options = _options_of(problem)
    for section, table in tables.items():
        if section not in SECTIONS:
            _refuse(section, "", table, options)
        elif section != "problem":
            _check_section(table, section, section, options)


def _check_section(table: Any, section: str, where: str, options: Collection[str]) -> None:
    if not isinstance(table, Mapping):
        return
    usual = _own_keys(table) if section == "method" else keys_of(section)
    for key, value in table.items():
        if isinstance(key, str) and key not in usual and key not in keys_of(section):
            _refuse(key, where, value, options)
        elif section == "topology" and key in ("upper", "lower"):
            _check_section(value, section, f"topology.{key}", options)


def _own_keys(method: Mapping[str, Any]) -> Collection[str]:
    """The keys of the method that `[method]` names, without importing the others."""
    with suppress(UserError):  # of the name, which is reported later
        rule, _ = METHODS[split_name(method.get("name", "sparkle"))[0]]
        return {*fields_of(rule), *fields_of(MethodTable)} - {*STEPS}
    return ()


def check_option_places(cls: type[Any], options: Mapping[str, Any]) -> None:
    """Raise UserError for a key of `[problem]` that its class lacks and another section has."""
    known = option_names(cls)
    for key, value in options.items():
        if known is not None and key not in (*known, "name"):
            _refuse(key, "problem", value, known)


def check_arguments(
    unknown: Mapping[str, Any], known: Collection[str], call: str, problem: Any = None
) -> None:
    """Raise UserError for arguments that a function does not have, with what they are called here.

    Parameters
    ----------
    unknown : Mapping
        The arguments.
    known : collection of str
        The names of its parameters.
    call : str
        The name of the function.
    problem : object, optional
        The problem, which may have options of these names.
    """
    options = _options_of(problem)
    for word, value in unknown.items():
        remedy = did_you_mean(word, known)
        for place in places_of(word, options)[:1]:
            if place.section or place.argument in known:
                remedy = f"here it is {_as_argument(place, value, known)}"
        raise UserError(f"{call}: no argument is called {word}; {remedy}")


def set_argument(word: str, value: str) -> str:
    """An example of `--set` for a key that was given without section or value; "" for no key."""
    if word in ("problem", "method", "topology") and value:
        return f"--set {word}.name={value}"
    if word == "steps" and known_as(value, [AUTO]):
        return f"--set steps={AUTO}"
    for section, key, example, _, _ in places_of(word):
        if key == "stop":
            bound = _bound_of(example)
            usual = {"below": "0.1", "patience": "10"}[bound]
            return f"--set \"run.stop={{metric='upper_loss',{bound}={value or usual}}}\""
        if section and key and (value or example is not None):
            return f"--set {section}.{key}={_meant(section, key, value) or example}"
    return ""


def _meant(section: str, key: str, value: Any) -> Any:
    """The name that others call so, where a value of `[run]` is a name; else the value."""
    marks = get_args(RUN_FIELDS[key].hint) if section == "run" and isinstance(value, str) else ()
    names = [name for mark in marks if isinstance(mark, Synonyms) for name in mark.meant(value)]
    return names[0] if names else value


def keys_of(section: str) -> set[str]:
    """All keys that a section may have, with any method, graph and so on; of a problem its name."""
    if section == "problem":
        return set(fields_of(ProblemTable))
    if section == "method":
        own = {key for rule, _ in METHODS.values() for key in fields_of(rule)}
        return (own - set(STEPS)) | set(fields_of(MethodTable))
    if section == "topology":
        own = {key for name in TOPOLOGIES for key in graph_options(name)}
        return own | set(TOPOLOGY_FIELDS) | {"upper", "lower"}
    known = {"steps": STEPS, "run": RUN_FIELDS, "checkpoint": fields_of(Checkpoint)}
    return set(known[section])


def places_of(word: Any, options: Collection[str] = ()) -> list[Called]:
    """Where a key is at home: the sections that have it, else what it is called here.

    Parameters
    ----------
    word : str
        The key; [] for one of another type, which is refused later.
    options : collection of str
        The options of the problem.
    """
    if not isinstance(word, str):
        return []
    homes = ("run", "steps", "method", "checkpoint", "topology", "problem")
    found = [Called(home, word, None, "") for home in homes if word in keys_of(home)]
    if word in options:
        found.append(Called("problem", word, None, ""))
    if word in SECTIONS:
        found.append(Called(word, "", None, ""))
    return found or [
        called for called in SYNONYMS if folded(word) in map(folded, called.words.split())
    ]


def _options_of(problem: Any) -> Collection[str]:
    """The options of a problem, given as `[problem]`, by name or as a class, as far as known."""
    name = problem.get("name") if isinstance(problem, Mapping) else problem
    with suppress(Exception):  # of the user's own file, which is loaded and reported later
        return option_names(problem_class(name)) or ()
    return ()


def _refuse(word: str, section: str, value: Any, options: Collection[str]) -> None:
    """Raise UserError for a key of a section, "" for a section itself, if its place is known."""
    where = f"{section}.{word}" if section else word
    places = [
        place
        for place in places_of(word, options)
        if place.section and place[:2] != (section, word)
    ]
    if not places:
        return
    place = places[0]
    if place.key == word:
        sections = " or ".join(f"[{home.section}]" for home in places)
        if place.section == "steps":
            raise UserError(f"{where}: is a step size; put it in [steps]")
        raise UserError(f"{where}: belongs to {sections}; put it there")
    what = "unknown key" if section else "unknown section"
    raise UserError(f"{where}: {what}; here it is {_in_file(place, value)}")


def _in_file(place: Called, value: Any) -> str:
    """A place as a line of a configuration."""
    if not place.key and place.example is not None:
        return f"{place.section} = {_toml(place.example)} at the top of the file"
    if not place.key or isinstance(value, Mapping):
        return f"the section [{place.section}]"
    return f"{place.key} = {_toml(_fitting(place, value))} in [{place.section}]"


def _as_argument(place: Called, value: Any, known: Collection[str]) -> str:
    """A place as an argument of `solve`."""
    section, key, _, _, argument = place
    value = _fitting(place, value)
    if argument in known:
        return argument
    if section == "run":
        return f"{key or 'iterations'}={_python(value)}"
    if not key or key == "name":
        return f"{section}={_python(value if key else place.example)}"
    name = '"name": ..., ' if section in ("problem", "method", "topology") else ""
    return f'{section}={{{name}"{key}": {_python(value)}}}'


def _fitting(place: Called, value: Any) -> Any:
    """The user's value where it fits the key, else the example; None for an object of any type."""
    section, key, example, _, _ = place
    if key == "stop":
        return {**example, _bound_of(example): value} if _is_number(value) else example
    if section == "run" and example is not None:
        with suppress(UserError):
            return convert(_meant(section, key, value), RUN_FIELDS[key].hint, key)
        return example
    if not isinstance(value, bool | int | float | str):
        return None
    if section == "steps" and known_as(value, [AUTO]):
        return AUTO
    return value if example is None or _is_number(value) == _is_number(example) else example


def _bound_of(rule: Mapping[str, Any]) -> str:
    """The key of a stop rule that is not its metric."""
    return next(key for key in rule if key != "metric")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _python(value: Any) -> str:
    """A value as Python has it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_python(item)}' for key, item in value.items()) + "}"
    if value is None:
        return "..."
    return shown(value) if isinstance(value, str) else repr(value)


def _toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return "..." if value is None else shown(value)
