"""A kernel run on the CPU on one of its shapes."""

from __future__ import annotations

import pytest

from moesaic.kernels import build
from moesaic.kernels.compiled.execute import execute


@pytest.fixture(scope="session")
def run():
    """(kernel, name of a configuration, of a shape, architecture, ...) -> the problem, its run."""
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")

    def one(kernel, name, shape="usual", arch="sm_80", **more):
        config, sizes = kernel.config(name), kernel.shapes[shape]
        problem = kernel.problem(config, sizes, 0)
        launch = kernel.launch(config, sizes)
        return problem, execute(build(kernel, config, arch), launch, problem.arguments, **more)

    return one
