"""Extreme eigenvalues of matrices with a prescribed spectrum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.lanczos import BASIS, NotFiniteError, random_signs, random_vectors, ritz


def orthogonal(P, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(P, P, generator=generator, dtype=torch.float64))[0]


def prescribed(spectrum, seed=0):
    """A symmetric matrix with this spectrum, and its eigenvectors as columns."""
    spectrum = torch.as_tensor(spectrum, dtype=torch.float64)
    Q = orthogonal(len(spectrum), seed)
    return Q * spectrum @ Q.mT, Q


def solve(A, k, *, start=None, seed=0, **options):
    """As `eigenvalues` does: random vectors beside the start, and a guard."""
    generator = torch.Generator().manual_seed(seed)
    block = random_vectors(A, k, generator)
    if start is not None:
        block = torch.cat([start, block], dim=1)
    options = {"tol": 1e-8, "guard": True, "max_matvecs": 2000} | options
    return ritz(lambda V: A @ V, block, k, generator=generator, **options)


SPECTRA = {
    "outliers over a bulk": np.r_[10, 9.5, 7, np.linspace(-1, 1, 97)],
    "negative dominates": np.r_[-50, -20, np.linspace(-1, 3, 98)],
    "all negative": -np.linspace(1, 10, 60),
    "repeated at the top": np.r_[5, 5, 5, np.linspace(-1, 1, 57)],
    "two distinct values": np.r_[np.full(20, 2.0), np.full(30, -1.0)],
    "geometric": 2.0 ** -np.arange(40),
    "evenly spaced": np.linspace(-3, 3, 150),
    "low rank": np.r_[4, 3, np.zeros(60)],
}


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_k_values_of_either_end_are_found_with_their_vectors(name, k, largest):
    spectrum = SPECTRA[name]
    A, _ = prescribed(spectrum, seed=k)
    result = solve(A, k, largest=largest)
    expected = np.sort(spectrum)[::-1][:k] if largest else np.sort(spectrum)[:k]
    norm, scale = np.abs(spectrum).max(), np.abs(expected).max()
    assert np.allclose(result.values, expected, rtol=0, atol=max(1e-6 * scale, 1e-13 * norm))
    V = result.vectors
    assert torch.allclose(V.mT @ V, torch.eye(k, dtype=torch.float64), atol=1e-6)
    residuals = (A @ V - V * result.values).norm(dim=0)
    assert torch.allclose(residuals, result.residuals, rtol=0, atol=1e-13 * norm)
    if scale > 1e-10:  # a value of nearly 0 has no relative accuracy
        assert result.converged
        assert residuals.max() <= 1.001e-8 * scale


def test_the_zero_matrix_has_converged_at_zero():
    result = solve(torch.zeros(30, 30, dtype=torch.float64), 2)
    assert result.converged
    assert result.values.tolist() == [0, 0]
    assert result.residuals.tolist() == [0, 0]


@settings(max_examples=40)
@given(
    spectrum=st.lists(st.floats(-10, 10), min_size=1, max_size=12),
    k=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_small_matrices_of_any_spectrum(spectrum, k, seed):
    A, _ = prescribed(spectrum, seed)
    result = solve(A, k, seed=seed)
    expected = np.sort(spectrum)[::-1][: min(k, len(spectrum))]
    assert np.allclose(result.values, expected, rtol=0, atol=1e-6 * max(1, np.abs(spectrum).max()))


def test_products_are_counted():
    A, _ = prescribed(SPECTRA["outliers over a bulk"])
    count = 0

    def product(V):
        nonlocal count
        count += V.shape[1]
        return A @ V

    result = ritz(product, random_vectors(A, 3, None), 2, tol=1e-6)
    assert result.matvecs == count


def test_a_limit_stops_the_work_and_says_that_it_has_not_converged():
    A, _ = prescribed(SPECTRA["evenly spaced"])
    result = solve(A, 2, max_matvecs=7)
    assert result.matvecs == 7
    assert not result.converged
    assert result.residuals.max() > 1e-8 * 3
    assert result.values[0] < 3  # a Ritz value is a lower bound


def test_ritz_values_are_lower_bounds_that_grow_with_the_work():
    A, _ = prescribed(SPECTRA["evenly spaced"])
    values = [float(solve(A, 1, max_matvecs=m).values[0]) for m in range(1, 40, 4)]
    assert values == sorted(values)
    assert values[-1] <= 3 + 1e-12


def test_restarts_do_not_lose_what_was_found():
    spectrum = np.linspace(0, 1, 400) ** 0.25  # a dense top: far more products than basis vectors
    A, _ = prescribed(spectrum)
    result = solve(A, 3, tol=1e-9)
    assert result.matvecs > 2 * BASIS
    assert result.converged
    assert np.allclose(result.values, np.sort(spectrum)[::-1][:3], rtol=1e-9)


def test_the_same_generator_gives_the_same_bits():
    A, _ = prescribed(SPECTRA["outliers over a bulk"])
    first, again, other = solve(A, 2), solve(A, 2), solve(A, 2, seed=1)
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.equal(first.vectors, other.vectors)


def test_rounding_in_float32_ends_the_work():
    A, _ = prescribed(SPECTRA["outliers over a bulk"])
    result = solve(A.float(), 1, tol=1e-12)
    assert result.matvecs < 100
    assert not result.converged
    assert float(result.values[0]) == pytest.approx(10, rel=1e-5)


# Starts


@pytest.mark.parametrize("wrong", [1, 2, 50, 99])
@pytest.mark.parametrize("name", ["outliers over a bulk", "negative dominates", "evenly spaced"])
def test_a_start_at_the_wrong_eigenvector_still_finds_the_top(name, wrong):
    A, Q = prescribed(np.sort(SPECTRA[name])[::-1].copy())
    for seed in range(10):
        result = solve(A, 1, start=Q[:, wrong : wrong + 1], seed=seed)
        assert float(result.values[0]) == pytest.approx(np.max(SPECTRA[name]), rel=1e-6)


def test_a_start_at_the_wrong_eigenvectors_finds_the_top_pairs():
    A, Q = prescribed(SPECTRA["outliers over a bulk"])
    result = solve(A, 2, start=Q[:, 2:6])
    assert np.allclose(result.values, [10, 9.5], rtol=1e-7)


def test_a_good_start_saves_work():
    A, Q = prescribed(SPECTRA["geometric"])
    cold = solve(A, 1)
    warm = solve(A, 1, start=Q[:, :1] + 1e-6 * Q[:, 5:6])
    assert float(warm.values[0]) == pytest.approx(1, rel=1e-10)
    assert warm.matvecs < cold.matvecs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_repeated_start_vectors_do_no_harm(dtype):
    A, Q = prescribed(SPECTRA["outliers over a bulk"])
    A, Q = A.to(dtype), Q.to(dtype)
    start = torch.stack([Q[:, 3], torch.zeros(100, dtype=dtype), Q[:, 3], Q[:, 4]], dim=1)
    result = solve(A, 2, start=start, tol=1e-4)
    assert result.converged
    assert np.allclose(result.values, [10, 9.5], rtol=1e-4)


def test_more_start_vectors_than_dimensions():
    A, Q = prescribed([3.0, 1.0, -2.0])
    result = solve(A, 2, start=Q.repeat(1, 3))
    assert np.allclose(result.values, [3, 1])


def test_without_a_guard_an_exact_eigenvector_is_taken_at_its_word():
    """What the guard is for."""
    A, Q = prescribed(SPECTRA["outliers over a bulk"])
    start = Q[:, 2:3]
    blind = ritz(lambda V: A @ V, start, 1, tol=1e-3)
    assert blind.converged
    assert float(blind.values[0]) == pytest.approx(7)
    assert float(solve(A, 1, start=start, tol=1e-3).values[0]) == pytest.approx(10, rel=1e-3)


def test_cold_solves_at_a_loose_tolerance_hardly_ever_stop_at_a_lower_pair():
    """Three outliers in 700 dimensions, as in the Hessian of a small network."""
    A, _ = prescribed(np.r_[5.3, 4.8, 2.3, np.linspace(-0.5, 0.5, 697)])
    off = [abs(float(solve(A, 1, tol=1e-3, seed=s).values[0]) / 5.3 - 1) for s in range(300)]
    assert np.mean(np.array(off) > 1e-2) <= 0.01


# A path of matrices


@pytest.mark.parametrize("speed", [0.0, 0.02])
def test_warm_solves_follow_eigenvalues_that_cross(speed):
    """The second eigenvalue rises through the first, while all eigenvectors turn slowly."""
    P = 120
    Q, generator = orthogonal(P), torch.randn(P, P, generator=torch.Generator().manual_seed(3))
    turn = torch.linalg.matrix_exp(speed * (generator - generator.mT).double() / P**0.5)
    bulk, start, last = torch.linspace(-1, 1, P - 2, dtype=torch.float64), None, []
    for t in np.linspace(-1, 1, 60):
        A = Q * torch.cat([torch.tensor([5 - t, 5 + t], dtype=torch.float64), bulk]) @ Q.mT
        result = solve(A, 1, start=start, tol=1e-3)
        last.append(abs(float(result.values[0]) - (5 + abs(t))) / 5)
        start, Q = result.vectors, turn @ Q
    assert max(last) < 1e-3


# What is refused


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_products_that_are_not_finite_are_an_error(bad):
    A, _ = prescribed(SPECTRA["geometric"])
    A[3, 3] = bad
    with pytest.raises(NotFiniteError, match="a product H v is not finite"):
        solve(A, 1)
    assert issubclass(NotFiniteError, ValueError)


def test_random_signs_are_signs_of_the_asked_shape_and_repeat_with_the_seed():
    like = torch.zeros(500, dtype=torch.float64)
    signs = random_signs(like, 40, torch.Generator().manual_seed(0))
    assert signs.shape == (500, 40)
    assert signs.dtype == torch.float64
    assert torch.equal(signs.abs(), torch.ones_like(signs))
    assert abs(float(signs.mean())) < 4 / (500 * 40) ** 0.5
    assert torch.equal(signs, random_signs(like, 40, torch.Generator().manual_seed(0)))
