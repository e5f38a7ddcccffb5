"""What belongs together: samples of one run, and problems that are each one problem.

The rule, for all forms of logs: where the samples differ in a field of the run there are several
policies, and one must be chosen or they must be pooled on purpose. Where one id stands for
problems of several tasks or data sets, they are named apart. What is left must be one problem.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.names import numbers_samples
from pkpo.evaluate.readers.tally import FILE, MAY, ONE, RUN, SET, STEP, Reading, Wanted
from pkpo.evaluate.readers.values import BadValueError, setting_of, step_of

ALL = "all"
_SHOWN, _LONGEST = 8, 60
_DIVIDED = 3  # problems that it takes to say that they are divided alike
_FILTER = f"{RUN}filter"
_FLAGS = {_FILTER: "filter", STEP: "step"}
_NUMBER = pl.col("rewards").list.len().sum().alias("number")


def one_run(tally: pl.DataFrame, reading: Reading, source: str) -> pl.DataFrame:
    """The samples of the run that is asked for, or of the only one there is. Raises LogError
    where what is asked for isn't there, or there are several: it lists the fields that differ,
    their values and the flags that choose."""
    wanted, step = reading.wanted, reading.wanted.step
    tally = _as_asked(tally, wanted)
    tally = _chosen(tally, (RUN,), wanted.run, "run", source)
    tally = _chosen(tally, (SET, ONE), wanted.task, "task", source)
    if wanted.filter is not None:
        if _FILTER not in tally.columns:
            raise LogError(f"{source} has no filters to choose {wanted.filter!r} from")
        there = _listed(tally, _FILTER)
        tally = tally.filter(pl.col(_FILTER) == wanted.filter)
        if tally.is_empty():
            raise LogError(f"{source} has no filter {wanted.filter!r}; it has {there}")
    if isinstance(step, int):
        tally = _of_step(tally, step, source)
    several = [name for name in _several(tally, reading) if name != STEP or step is None]
    if several == [STEP]:
        raise LogError(
            f"{source} holds samples of {tally[STEP].n_unique()} steps of training "
            f"({_listed(tally, STEP)}), which are as many policies: choose one with step= "
            f"(--step), its number or last, or pool them with all"
        )
    if several:
        lines = [f"{_plain(n)}: {_listed(tally, n)}  ({_example(tally, n)})" for n in several]
        pools = " ".join(f"--pool {shlex.quote(_plain(name))}" for name in several)
        raise LogError(
            f"{source} holds samples of several runs, which are as many policies:\n  "
            + "\n  ".join(lines)
            + "\nChoose one with run= (--run) as shown, read the runs apart, or put them together "
            f"on purpose with pool= ({pools})"
        )
    return _of_step(tally, step, source) if step == "last" else tally


def named_apart(tally: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Problems named TASK/ID, wherever an id stands for problems of several tasks.

    Of the fields of a task only those are put before the ids that tell problems apart.
    """
    names: list[str] = []
    texts = _fields(tally, ONE, reading.wanted.pool)
    for field in _fields(tally, SET, reading.wanted.pool):
        # A task that isn't known may be any, unless the texts say that there is another.
        mixed = any(_differs(tally, one, names) for one in texts)
        if _differs(tally, field, names, nulls=mixed):
            names.append(field)
    for field in names:
        reading.note(
            f"An id stands for problems of several {_plain(field)}s ({_listed(tally, field)}), "
            f"which are named apart; task= (--task) chooses one."
        )
    apart = pl.concat_str([*names, "problem"], separator="/", ignore_nulls=True)
    return tally.with_columns(apart.alias("problem")) if names else tally


def _differs(
    tally: pl.DataFrame, field: str, names: Sequence[str] = (), nulls: bool = False
) -> bool:
    """Whether a problem has several values of a field; an unknown one counts with `nulls`."""
    values = pl.col(field) if nulls else pl.col(field).drop_nulls()
    number = tally.group_by([*names, "problem"]).agg(values.n_unique())[field]
    return bool((number > 1).any())


def check_problems(tally: pl.DataFrame, reading: Reading, source: str) -> None:
    """Raises LogError where an id stands for several problems, or one is scored in several ways."""
    for field in _fields(tally, ONE, reading.wanted.pool):
        if tally[field].n_unique() < 2:
            continue
        values = tally.group_by("problem").agg(
            pl.col(field).drop_nulls().unique(maintain_order=True), pl.col("first").min()
        )
        bad = values.filter(pl.col(field).list.len() > 1).sort("first")
        if bad.is_empty():
            continue
        name = _plain(field)
        digests = all(value.isdigit() for value in bad[field][0])
        shown = "" if digests else f" ({', '.join(map(shortened, bad[field][0]))})"
        raise LogError(
            f"{source}: the samples of {len(bad)} of {len(values)} problems, of "
            f"{shortened(bad['problem'][0])} first, have more than one {name}{shown}, so they "
            f"aren't samples of one problem. Read the logs apart, choose with task= (--task), "
            f"name the field that tells the problems apart (--task FIELD), or take them for one "
            f"problem with pool= (--pool {name})"
        )


def known_fields(tally: pl.DataFrame, reading: Reading) -> list[str]:
    """The columns that say what the problems are."""
    return [n for prefix in (SET, ONE) for n in _fields(tally, prefix, reading.wanted.pool)]


def shortened(text: str) -> str:
    """In quotes, and not too long for a message."""
    return repr(_cut(text))


def _cut(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"


def _as_asked(tally: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    """Fields that --task or --run name count as what they are named for."""
    for prefix, tokens in ((SET, wanted.task), (RUN, wanted.run)):
        asked = {token.partition("=")[0] for token in tokens}
        others = {n: prefix + _plain(n) for n in tally.columns if n.startswith((RUN, SET, ONE))}
        tally = tally.rename({n: new for n, new in others.items() if _plain(n) in asked})
    if STEP not in tally.columns:
        return tally
    return tally.with_columns(pl.col(STEP).replace({t: str(n) for n, t in _steps(tally)}))


def _chosen(
    tally: pl.DataFrame, prefixes: Sequence[str], tokens: Iterable[str], flag: str, source: str
) -> pl.DataFrame:
    """The rows that FIELD=VALUE or VALUE choose; values of one field add up."""
    fields = [name for name in tally.columns if name.startswith(tuple(prefixes))]
    asked: dict[str, list[str | None]] = {}
    for token in tokens:
        name, equals, value = token.partition("=")
        named = [field for field in fields if _plain(field) == (name if equals else token)]
        if named and not equals:
            continue
        found = [
            (field, match)
            for field in (named or fields)
            for match in _matches(tally[field], value if named else token)
        ]
        exact = [(field, match) for field, match in found if match in (token, value)] or found
        if len({match for _, match in exact}) != 1:
            there = "; ".join(f"{_plain(field)}: {_listed(tally, field)}" for field in fields)
            many = "several values fit" if exact else "there is no"
            raise LogError(
                f"{source}: {many} {flag} {shortened(token)} (--{flag}); it has {there or 'none'}"
            )
        field, match = exact[0]
        asked.setdefault(field, []).append(match)
    for field, values in asked.items():
        tally = tally.filter(pl.col(field).is_in(values, nulls_equal=True))
    if tally.is_empty():
        raise LogError(f"{source}: no sample is of all that --{flag} asks for")
    return tally


def _matches(values: pl.Series, asked: str) -> list[str | None]:
    """The values that are what was asked for, else those that contain it."""
    known: list[str | None] = values.unique().to_list()
    try:
        alike = {asked, setting_of(float(asked))}
    except ValueError:
        alike = {asked}
    exact = [value for value in known if value in alike]
    if exact or (asked == "none" and None in known):
        return exact or [None]
    return [value for value in known if value is not None and asked.lower() in value.lower()]


def _of_step(tally: pl.DataFrame, step: int | str, source: str) -> pl.DataFrame:
    numbers = sorted(number for number, _ in _steps(tally))
    if not numbers:
        raise LogError(f"{source} has no steps to choose {step!r} from")
    if step == "last" and len(numbers) < tally[STEP].n_unique():
        raise LogError(f"{source} has steps that aren't numbers: {_listed(tally, STEP)}")
    chosen = numbers[-1] if step == "last" else step
    if chosen not in numbers:
        raise LogError(
            f"{source} has no samples of step {chosen}; its steps go from {numbers[0]} to "
            f"{numbers[-1]}"
        )
    return tally.filter(pl.col(STEP) == str(chosen))


def _steps(tally: pl.DataFrame) -> Iterator[tuple[int, str]]:
    """Those of the steps that are numbers, and as they stand there."""
    for text in tally[STEP].drop_nulls().unique() if STEP in tally.columns else ():
        try:
            yield step_of(text), text
        except BadValueError:
            continue


def _fields(tally: pl.DataFrame, prefix: str, pooled: Sequence[str] = ()) -> list[str]:
    return [n for n in tally.columns if n.startswith(prefix) and _plain(n) not in pooled]


def _several(tally: pl.DataFrame, reading: Reading) -> list[str]:
    """Fields of the run that differ and aren't pooled."""
    wanted = reading.wanted
    left = []
    for name in [n for n in _fields(tally, RUN) if tally[n].n_unique() > 1]:
        field = _plain(name)
        if field in wanted.maybe:
            # The fewest samples that a problem has of one value.
            if min(tally.group_by("problem", name).agg(_NUMBER)["number"]) > 1:
                left.append(name)
        elif field in wanted.pool or ALL in wanted.pool:
            reading.note(f"Samples of several {field}s are pooled: {_listed(tally, name)}.")
        elif numbers_samples(field) and _of_one_sample_each(tally, name):
            reading.note(
                f"Every sample of a problem has its own {field}, so it is taken for the sample's "
                f"and not for that of a run; run= (--run {field}=VALUE) chooses one."
            )
        else:
            left.append(name)
    of_files = [n for n in _fields(tally, FILE, wanted.pool) if _differs(tally, n)]
    return left + [name for name in of_files if not _of_one_sample_each(tally, name)]


def dividing(tally: pl.DataFrame) -> list[str]:
    """Columns of which every problem has the same values, each as often as the others have it."""
    names = _fields(tally, MAY)
    if not names or tally["problem"].n_unique() < _DIVIDED:
        return []
    of_problems = tally.group_by("problem").agg(_NUMBER, pl.col(names).sum())
    if of_problems["number"].n_unique() > 1:
        return []
    return [_plain(name) for name in names if of_problems[name].n_unique() == 1]


def _of_one_sample_each(tally: pl.DataFrame, name: str) -> bool:
    """Whether a field's values are integers, or seen once each, and differ within problems."""
    others = [n for n in tally.columns if n.startswith((RUN, SET)) and n != name]
    within = tally.group_by([*others, "problem"]).agg(_NUMBER, pl.col(name).n_unique())
    if (within["number"] != within[name]).any():
        return False
    known = tally[name].drop_nulls().unique()
    return bool(known.str.contains(r"^-?\d+$").all()) or len(known) == within["number"].sum()


def _example(tally: pl.DataFrame, name: str) -> str:
    value = next((v for v in _values(tally, name) if v is not None), "none")
    value = value if len(value) <= _LONGEST else "PART OF A VALUE"
    if name in _FLAGS:
        return f"--{_FLAGS[name]} {shlex.quote(value)}"
    return f"--run {shlex.quote(f'{_plain(name)}={value}')}"


def _values(tally: pl.DataFrame, name: str) -> list[str | None]:
    """In order of appearance; steps by their number."""
    numbers = sorted(_steps(tally)) if name == STEP else []
    first = tally.group_by(name).agg(pl.col("first").min()).sort("first")
    return [text for _, text in numbers] if len(numbers) == len(first) else first[name].to_list()


def _listed(tally: pl.DataFrame, name: str) -> str:
    values = ["none" if value is None else value for value in _values(tally, name)]
    short = list(map(_cut, values))
    if len(short) > _SHOWN:
        short[_SHOWN:-1] = ["..."]
    return ", ".join(short)


def _plain(name: str) -> str:
    return name.partition(".")[2]
