"""Level spacings against random matrices and independent levels, whose laws are known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit import Objective
from kit.spacing import (
    GOE,
    POISSON,
    level_spacing,
    spacing_ratios,
    summarise_ratios,
    unfolded_spacings,
    wigner_cdf,
    wigner_surmise,
)
from tests import oracles
from tests.oracles import net, samples


def goe(m, generator):
    A = torch.randn(m, m, generator=generator, dtype=torch.float64)
    return torch.linalg.eigvalsh(A + A.mT)


def test_worked_number_fifty():
    one, tenth = torch.tensor([1.0, 0.1], dtype=torch.float64)
    assert float(wigner_cdf(one)) == pytest.approx(0.544061872234, abs=1e-11)
    assert float(wigner_cdf(tenth)) == pytest.approx(0.007823219707, abs=1e-11)
    s = torch.linspace(0, 12, 200_001, dtype=torch.float64)
    p = wigner_surmise(s)
    moments = [float(torch.trapezoid(p * s**k, s)) for k in range(3)]
    assert moments == pytest.approx([1, 1, 4 / math.pi], rel=1e-8)
    assert pytest.approx(0.386294361120, abs=1e-11) == POISSON


def test_the_surmise_is_the_derivative_of_its_distribution():
    s = torch.linspace(0, 4, 50, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(wigner_cdf(s).sum(), s)[0]
    torch.testing.assert_close(slope, wigner_surmise(s).detach())


def test_bulks_of_random_matrices_have_the_ratio_of_the_goe():
    generator = torch.Generator().manual_seed(0)
    ratios = torch.cat([spacing_ratios(goe(100, generator)[25:75]) for _ in range(300)])
    assert float(ratios.mean()) == pytest.approx(GOE, abs=0.005)


def test_independent_levels_have_the_ratio_of_poisson():
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(20_000, generator=generator, dtype=torch.float64)
    result = summarise_ratios(spacing_ratios(levels))
    assert abs(result.mean_ratio - POISSON) < 4 * result.standard_error
    assert result.standard_error < 0.003


def test_standard_errors_are_those_of_repeated_draws():
    generator = torch.Generator().manual_seed(1)
    levels = torch.rand(400, 300, generator=generator, dtype=torch.float64)
    results = [summarise_ratios(spacing_ratios(row)) for row in levels]
    spread = float(torch.tensor([r.mean_ratio for r in results]).std())
    typical = float(torch.tensor([r.standard_error for r in results]).median())
    assert typical == pytest.approx(spread, rel=0.1)


def test_a_prescribed_spectrum_gives_its_own_ratios_and_its_null_space_is_dropped():
    generator = torch.Generator().manual_seed(2)
    values = goe(60, generator)
    problem = oracles.prescribed(torch.cat([values, torch.zeros(40, dtype=torch.float64)]))
    result = level_spacing(problem)
    assert (result.count, result.dropped) == (58, 40)
    assert result.mean_ratio == pytest.approx(float(spacing_ratios(values).mean()), rel=1e-6)


def test_the_hessian_of_a_tanh_network_repels_its_levels():
    X, y = samples(60, 6, 3)
    result = level_spacing(Objective(net((6, 12, 8, 3), "tanh"), X, y))
    assert result.count > 150
    assert result.mean_ratio > POISSON + 4 * result.standard_error


@pytest.mark.parametrize("kind", ["goe", "poisson"])
def test_unfolded_spacings_follow_the_law_they_should(kind):
    generator = torch.Generator().manual_seed(3)
    if kind == "goe":
        gaps = torch.cat([unfolded_spacings(goe(100, generator)[10:90]) for _ in range(60)])
        tenth, square = 0.0078, 4 / math.pi
    else:
        draws = torch.randn(60, 80, generator=generator, dtype=torch.float64)
        gaps = torch.cat([unfolded_spacings(row) for row in draws])
        tenth, square = 0.0952, 2.0
    assert float((gaps < 0.1).double().mean()) == pytest.approx(tenth, abs=0.012)
    assert float(gaps.square().mean()) == pytest.approx(square, rel=0.1)


@given(
    st.lists(st.floats(-100, 100), min_size=3, max_size=30),
    st.floats(0.01, 100),
    st.floats(-10, 10),
)
def test_ratios_lie_in_the_unit_interval_and_do_not_see_scale_or_order(values, a, b):
    values = torch.tensor(values, dtype=torch.float64)
    ratios = spacing_ratios(values)
    assert len(ratios) == len(values) - 2
    assert bool(((ratios >= 0) & (ratios <= 1)).all())
    torch.testing.assert_close(spacing_ratios(values.flip(0)), ratios)
    if float(values.sort().values.diff().min()) > 1e-3:
        torch.testing.assert_close(spacing_ratios(a * values + b), ratios, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: level_spacing(3), "objective: got int"),
        (lambda: level_spacing(oracles.prescribed([1.0] * 5)), "has 5 eigenvalues that are not"),
        (lambda: level_spacing(oracles.prescribed([1.0] * 12), cutoff=1), "cutoff: got 1"),
        (lambda: level_spacing(oracles.prescribed([1.0] * 12), "hess"), "operator: got 'hess'"),
        (lambda: spacing_ratios([1.0, 2.0]), "values: got list"),
        (lambda: spacing_ratios(torch.ones(2)), "at least 3"),
        (lambda: spacing_ratios(torch.tensor([1.0, math.nan, 2.0])), "finite"),
        (lambda: unfolded_spacings(torch.ones(5)), "at least 10"),
        (lambda: unfolded_spacings(torch.rand(12), degree=0), "degree: got 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
