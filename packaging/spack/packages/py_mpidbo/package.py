"""Spack's package of mpidbo, with the MPI library of the site."""

from spack.package import *
from spack_repo.builtin.build_systems.python import PythonPackage


class PyMpidbo(PythonPackage):
    """Decentralized stochastic bilevel optimization over MPI."""

    homepage = "https://example.org/mpidbo"
    git = "https://example.org/mpidbo.git"

    license("BSD-3-Clause")

    version("0.1.0", tag="v0.1.0")
    version("main", branch="main")

    variant("plot", default=True, description="figures of runs and topologies")
    variant("data", default=True, description="bundled and downloaded data sets")
    variant("torch", default=False, description="losses in PyTorch")

    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools@64:", type="build")
    depends_on("py-setuptools-scm@8:", type="build")
    depends_on("py-h5py@3.10:", type=("build", "run"))
    depends_on("py-lazy-loader@0.4:", type=("build", "run"))
    depends_on("py-mpi4py@4.0:", type=("build", "run"))
    depends_on("py-networkx@3.0:", type=("build", "run"))
    depends_on("py-numpy@1.26:", type=("build", "run"))
    depends_on("py-scipy@1.11:", type=("build", "run"))
    depends_on("py-threadpoolctl@3.1:", type=("build", "run"))
    depends_on("py-tomli-w@1.0:", type=("build", "run"))
    depends_on("py-tqdm@4.60:", type=("build", "run"))
    depends_on("py-matplotlib@3.7:", type=("build", "run"), when="+plot")
    depends_on("py-pooch@1.7:", type=("build", "run"), when="+data")
    depends_on("py-scikit-learn@1.3:", type=("build", "run"), when="+data")
    depends_on("py-torch@2.1:", type=("build", "run"), when="+torch")

    def setup_build_environment(self, env):
        # A mirror has the source code without git, from whose tag the version comes.
        if not self.spec.satisfies("@main"):
            env.set("SETUPTOOLS_SCM_PRETEND_VERSION", str(self.version))
