"""A teaching kit about the sharpness of neural networks. `import kit` alone loads no torch."""

from importlib import import_module

_MODULES = {
    "batches": ("batch_sharpness",),
    "bounds": ("Bound", "generalisation_bound", "generalisation_bounds"),
    "calibration": ("reliability", "temperature_scaling"),
    "covering": (
        "cube_covering_radius",
        "held_out_radius",
        "interval_covering_probability",
        "interval_covering_radius",
        "interval_sample_radius",
        "regular_covering_radius",
    ),
    "curvature": ("eigenvalues", "matrix", "sharpness", "stability_threshold"),
    "estimate": ("Estimate",),
    "evidence": ("interpolating_information_criterion",),
    "fleet": ("Fleet",),
    "flatness": (
        "fisher_rao_norm",
        "minimum_sharpness",
        "normalized_sharpness",
        "relative_flatness",
    ),
    "jacobian": (
        "input_output_jacobian",
        "jacobian_distribution",
        "jacobian_norms",
        "largest_direction",
    ),
    "lanczos": ("EigenResult",),
    "lipschitz": (
        "jacobian_bracket",
        "layer_norm_product",
        "lipschitz_constant_1d",
        "local_variation",
    ),
    "load": ("DataFileError", "Dataset", "Population", "dataset_names", "load_dataset"),
    "models": ("convnet", "mlp"),
    "objective": ("Objective",),
    "pac_bayes": ("pac_bayes_bound",),
    "paths": ("path_norm",),
    "perturbation": (
        "adaptive_sharpness",
        "average_adaptive_sharpness",
        "critical_sharpness",
        "keskar_sharpness",
    ),
    "softrank": ("over_confidence_index", "soft_rank", "takeuchi_terms", "takeuchi_trace"),
    "sharpening": ("along_segment", "jacobian_floor", "sharpness_floor"),
    "spacing": ("level_spacing",),
    "spectrum": ("SpectralDensity", "frobenius_norm", "spectral_density", "trace"),
    "quotient": (
        "horizontal_part",
        "riemannian_gradient",
        "vertical_basis",
        "vertical_part",
    ),
    "ranking": ("Tau", "granulated_tau", "kendall_tau"),
    "recorder": ("Recorder",),
    "registry": ("Measure", "measures"),
    "rescaling": ("invariant_sharpness", "rescale_layers", "rescale_nodes"),
    "statement": ("Statement",),
    "sweep_table": ("Progress",),
    "sweeps": ("sweep",),
    "tangent": ("dual_gauss_newton", "layer_shares", "tangent_kernel"),
    "training": ("Training",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _MODULES or name == "live":  # kit.bounds, after `import kit` alone
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(globals() | _HOME)
