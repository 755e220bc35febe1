"""beamcap: captioned pictures to a served captioning model."""

from setuptools import find_packages, setup

setup(
    name="beamcap",
    version="0.1.0",
    description="Captioned pictures to a served captioning model: Beam, TFRecords, tf.distribute.",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["pipeline*", "trainer*", "tfrecords_schema*"]),
    entry_points={"console_scripts": ["beamcap-worker=pipeline.engines.worker_process:start"]},
    # The base is what a Beam worker needs.
    install_requires=[
        "absl-py>=2.1",
        "apache-beam>=2.76,<3",  # 2.67 to 2.75 leak memory where bundles fail
        "h5py>=3.10",
        "ijson>=3.3",
        "nltk>=3.9",
        "numpy>=1.26",
        "psutil>=5.9",
        "pyarrow>=16",
        "tensorflow>=2.20,<3",
        "tensorflow-datasets>=4.9.8",
        "tqdm>=4.66",
    ],
    extras_require={
        "train": ["matplotlib>=3.8", "pycocoevalcap>=1.2", "tensorboard>=2.19"],
        "demo": ["pillow>=10"],
        "dev": [
            "hypothesis>=6.100",
            "mypy>=1.13",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
        ],
    },
)
