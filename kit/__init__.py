"""A teaching kit about the sharpness of neural networks. `import kit` alone loads no torch."""

from importlib import import_module

_MODULES = {
    "load": ("Dataset", "Population", "dataset_names", "load_dataset"),
    "models": ("convnet", "mlp"),
    "objective": ("Objective",),
    "curvature": (
        "EigenResult",
        "Estimate",
        "eigenvalues",
        "matrix",
        "sharpness",
        "spectral_density",
        "stability_threshold",
        "trace",
    ),
    "jacobian": ("input_output_jacobian", "jacobian_norms"),
    "rescaling": ("invariant_sharpness", "rescale_layers", "rescale_nodes"),
    "training": ("Recorder", "Training"),
    "bounds": ("generalisation_bound",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(globals() | _HOME)
