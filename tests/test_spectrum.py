"""Trace, norm and density against dense eigenvalues and prescribed spectra, in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective
from kit.curvature import matrix
from kit.lanczos import NotFiniteError
from kit.operators import OPERATORS
from kit.spectrum import frobenius_norm, quadrature, spectral_density, trace
from tests import oracles
from tests.oracles import net, samples


def decaying(P):
    """A few outliers, a bulk, and negative ones: like a network's."""
    values = torch.linspace(-0.2, 1, P, dtype=torch.float64)
    values[:3] = torch.tensor([30.0, 12.0, -5.0])
    return values


def objective(widths=(6, 20, 10, 4), **options):
    X, y = samples(30, widths[0], widths[-1])
    return Objective(net(widths, options.pop("activation", "relu")), X, y, **options)


# Trace and norm.


@pytest.mark.parametrize("operator", OPERATORS)
def test_as_many_probes_as_parameters_are_exact(operator):
    problem = objective((3, 5, 2))
    A = matrix(problem, operator)
    total = trace(problem, operator, probes=64)
    norm = frobenius_norm(problem, operator, probes=64)
    assert total.value == pytest.approx(float(A.trace()), rel=1e-12)
    assert norm.value == pytest.approx(float(A.norm()), rel=1e-12)
    assert (total.standard_error, norm.standard_error) == (0, 0)
    assert total.matvecs == problem.parameters


@pytest.mark.parametrize("probes", [6, 12, 30, 90])
@pytest.mark.parametrize("quantity", ["trace", "norm"])
def test_estimates_scatter_about_the_truth_as_their_standard_errors_say(quantity, probes):
    values = decaying(200)
    problem = oracles.prescribed(values)
    truth = float(values.sum() if quantity == "trace" else values.norm())
    estimate = trace if quantity == "trace" else frobenius_norm
    runs = [estimate(problem, probes=probes, seed=seed) for seed in range(60)]
    z = torch.tensor([(run.value - truth) / run.standard_error for run in runs])
    # With few probes, an error estimated from probes - 2 sketch of them has heavy tails.
    assert abs(float(z.median())) < 0.6
    assert 0.4 < float((z.abs() < 1).double().mean()) < 0.95
    assert {run.matvecs for run in runs} == {probes}


def test_the_sketch_beats_plain_signs_where_outliers_carry_the_norm():
    values = torch.linspace(0, 0.01, 300, dtype=torch.float64)
    values[:5] = torch.tensor([40.0, 30.0, 20.0, 10.0, 5.0])
    estimate = trace(oracles.prescribed(values), probes=60)
    plain = math.sqrt(2 * float(values.square().sum()) / 60)  # about the Hutchinson error
    assert estimate.standard_error < plain / 50
    assert abs(estimate.value - float(values.sum())) < 5 * estimate.standard_error


def test_where_the_spectrum_is_flat_the_error_is_that_of_plain_signs():
    values = torch.linspace(-1, 2, 400, dtype=torch.float64)
    problem = oracles.prescribed(values)
    runs = [trace(problem, probes=60, seed=seed) for seed in range(40)]
    plain = math.sqrt(2 * float(values.square().sum()) / 60)
    errors = torch.tensor([run.standard_error for run in runs])
    assert 0.8 * plain < float(errors.median()) < 1.2 * plain
    z = torch.tensor([(run.value - float(values.sum())) / run.standard_error for run in runs])
    assert abs(float(z.mean())) < 4 / math.sqrt(40)
    assert 0.5 < float((z.abs() < 1).double().mean()) < 0.85
    assert {run.matvecs for run in runs} == {60}


def test_a_relu_network_has_the_trace_of_its_gauss_newton_matrix():
    """theory.md, (1')."""
    problem = objective((3, 8, 4, 2))
    H, G = (trace(problem, name, probes=100) for name in ("hessian", "gauss_newton"))
    assert (H.standard_error, G.standard_error) == (0, 0)
    assert H.value == pytest.approx(G.value, rel=1e-12)
    tanh = objective((3, 8, 4, 2), activation="tanh")
    H, G = (trace(tanh, name, probes=100) for name in ("hessian", "gauss_newton"))
    assert H.value != pytest.approx(G.value, rel=1e-3)


def test_worked_number_one():
    """Part III, 1: trace 14, squared norm 98."""
    problem = oracles.prescribed([1.0, 4.0, 9.0])
    assert trace(problem).value == pytest.approx(14, rel=1e-12)
    assert frobenius_norm(problem).value == pytest.approx(math.sqrt(98), rel=1e-12)


def test_a_zero_operator_has_zero_trace_and_norm():
    problem = oracles.prescribed([0.0] * 100)
    assert trace(problem, probes=12).value == 0
    assert frobenius_norm(problem, probes=12).value == 0


# Quadrature and density.


@settings(max_examples=25)
@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=12),
    st.integers(1, 3),
    st.integers(0, 100),
)
def test_a_full_quadrature_is_exact_for_every_function(values, columns, seed):
    values = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(values), columns, generator=generator, dtype=torch.float64)
    nodes, weights = quadrature(lambda V: values[:, None] * V, start, len(values))
    torch.testing.assert_close(weights.sum(1), torch.ones(columns, dtype=torch.float64))
    for f in (torch.exp, torch.sin, torch.square):
        exact = (start.square() * f(values)[:, None]).sum(0) / start.square().sum(0)
        torch.testing.assert_close((weights * f(nodes)).sum(1), exact, rtol=1e-8, atol=1e-8)


def test_k_nodes_integrate_polynomials_of_degree_2k_minus_1():
    values = torch.linspace(-1, 2, 50, dtype=torch.float64)
    start = torch.ones(50, 1, dtype=torch.float64)
    nodes, weights = quadrature(lambda V: values[:, None] * V, start, 4)
    for degree in range(8):
        exact = float((values**degree).mean())
        assert float((weights * nodes**degree).sum()) == pytest.approx(exact, rel=1e-10)
    wrong = float((weights * nodes**8).sum())
    assert wrong != pytest.approx(float((values**8).mean()), rel=1e-10)


def test_a_krylov_space_that_ends_early_puts_no_weight_on_what_follows():
    A = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64))
    start = torch.ones(4, 1, dtype=torch.float64)
    nodes, weights = quadrature(lambda V: A @ V, start, 4)
    heavy = nodes[0][weights[0] > 1e-12]
    torch.testing.assert_close(heavy, torch.tensor([1.0, 3.0], dtype=torch.float64))


def test_few_parameters_give_every_eigenvalue_and_no_error():
    problem = objective((3, 8, 2))
    density = spectral_density(problem)
    exact = torch.linalg.eigvalsh(oracles.hessian(problem.model, problem.X, problem.y))
    assert density.exact
    torch.testing.assert_close(density.nodes[0], exact, rtol=1e-9, atol=1e-12)
    assert float(density.standard_error.abs().max()) == 0
    assert density.total(torch.square).value == pytest.approx(float(exact.square().sum()))
    assert float(torch.trapezoid(density.density, density.x)) == pytest.approx(1, abs=1e-3)


def test_the_sampled_density_scatters_about_the_exact_one_as_its_error_bars_say():
    values, width = decaying(600), 0.5
    problem = oracles.prescribed(values)
    results = [
        spectral_density(problem, probes=10, steps=30, width=width, seed=seed) for seed in range(25)
    ]
    z, totals = [], []
    for result in results:
        assert not result.exact
        assert result.matvecs == 300
        assert float(torch.trapezoid(result.density, result.x)) == pytest.approx(1, abs=1e-3)
        x = result.x
        exact = torch.exp(-0.5 * ((x[:, None] - values) / width).square()).mean(1)
        exact = exact / (width * math.sqrt(2 * math.pi))
        bulk = exact > 0.05 * exact.max()
        z.append(((result.density - exact) / result.standard_error)[bulk])
        total = result.total(torch.abs)
        totals.append((total.value - float(values.abs().sum())) / total.standard_error)
    z, totals = torch.cat(z), torch.tensor(totals)
    assert 0.5 < float((z.abs() < 1).double().mean()) < 0.85
    assert abs(float(z.mean())) < 0.5
    assert 0.4 < float((totals.abs() < 1).double().mean()) < 0.9


def test_probes_in_chunks_give_the_same_as_all_at_once(monkeypatch):
    problem = objective((6, 30, 12, 4))
    whole = spectral_density(problem, probes=5, steps=10)
    monkeypatch.setattr("kit.spectrum.BASIS_NUMBERS", 2 * 10 * problem.parameters)
    parts = spectral_density(problem, probes=5, steps=10)
    torch.testing.assert_close(whole.density, parts.density, rtol=1e-8, atol=1e-10)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    problem = objective((6, 30, 12, 4))
    a, b, c = (spectral_density(problem, probes=2, steps=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(a.density, b.density)
    assert not torch.equal(a.nodes, c.nodes)
    assert trace(problem, seed=3) == trace(problem, seed=3)
    assert trace(problem, seed=3) != trace(problem, seed=4)


# Bad input, and nothing is changed.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: trace(o.model), "objective: got Sequential"),
        (lambda o: trace(o, "hesse"), "operator: got 'hesse'"),
        (lambda o: trace(o, probes=0), "probes: got 0"),
        (lambda o: trace(o, seed=-1), "seed: got -1"),
        (lambda o: frobenius_norm(o, probes=2.5), "probes: got 2.5"),
        (lambda o: spectral_density(None), "objective: got NoneType"),
        (lambda o: spectral_density(o, probes=1), "probes: got 1"),
        (lambda o: spectral_density(o, steps=0), "steps: got 0"),
        (lambda o: spectral_density(o, points=1), "points: got 1"),
        (lambda o: spectral_density(o, width=0), "width: got 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(objective((2, 3, 2)))


@pytest.mark.parametrize("widths", [(2, 3, 2), (6, 30, 12, 4)])
@pytest.mark.parametrize("measure", [trace, frobenius_norm, spectral_density])
def test_a_diverged_run_is_refused(measure, widths):
    problem = objective(widths)
    with torch.no_grad():
        problem.model[0].weight.fill_(math.inf)
    with pytest.raises(NotFiniteError, match="diverged"):
        measure(problem)


def test_nothing_of_the_callers_changes():
    problem = objective((6, 30, 12, 4))
    before, state = oracles.flat(problem.model), torch.get_rng_state()
    trace(problem)
    frobenius_norm(problem)
    spectral_density(problem, probes=2, steps=5)
    assert torch.equal(before, oracles.flat(problem.model))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in problem.model.parameters())
