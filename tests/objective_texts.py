"""Objectives and texts of schedules that hypothesis draws from."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import pkpo
from pkpo.errors import InvalidInputError
from pkpo.plans.plan import Choice

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = st.integers(1, 12)
FACTORS = st.one_of(
    st.sampled_from([0.5, -1.0, 3.0]),
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: abs(x) > 1e-6),
)
TERMS = st.one_of(
    SMALL.map(pkpo.max_at),
    SMALL.map(pkpo.min_at),
    SMALL.map(pkpo.log_pass),
    st.tuples(SMALL, SMALL).map(lambda pair: pkpo.top_mean(min(pair), max(pair))),
    st.lists(FACTORS, min_size=1, max_size=5).map(pkpo.order_statistics),
    st.just(pkpo.mean_reward()),
)


@st.composite
def objectives(draw: st.DrawFn) -> pkpo.Objective:
    total = draw(FACTORS) * draw(TERMS)
    for _ in range(draw(st.integers(0, 3))):
        factor, term = draw(FACTORS), draw(TERMS)
        try:
            total = total + factor * term
        except InvalidInputError:
            continue
    return total


STEPS = st.integers(1, 10_000)


def mix_or_constant(first, then, begin, length):
    try:
        return pkpo.Schedule.mix(first, then, begin, begin + length)
    except InvalidInputError:  # opposites
        return pkpo.Schedule.constant(first)


SCHEDULES = st.one_of(
    objectives().map(pkpo.Schedule.constant),
    st.builds(pkpo.Schedule.switch, objectives(), STEPS, objectives()),
    st.builds(
        lambda first, later: pkpo.Schedule.staged([(0, first), *sorted(later.items())]),
        objectives(),
        st.dictionaries(STEPS, objectives(), min_size=2, max_size=4),
    ),
    st.builds(
        lambda start, end, begin, length: pkpo.Schedule.linear_k(start, end, begin, begin + length),
        st.integers(1, 64),
        st.integers(1, 64),
        STEPS,
        STEPS,
    ),
    st.builds(
        mix_or_constant,
        objectives(),
        objectives(),
        STEPS,
        STEPS,
    ),
)


def only(choice: Choice) -> pkpo.Objective:
    (objective,) = choice.objectives
    assert not choice.index_P.any()
    return objective
