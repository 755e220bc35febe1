"""beamcap: captioned pictures to a served captioning model."""

from setuptools import find_packages, setup

ROOMS = ("pipeline", "trainer", "tfrecords_schema")

setup(
    name="beamcap",
    version="0.1.0",
    description="Captioned pictures to a served captioning model: Beam, TFRecords, tf.distribute.",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=[f"{room}{end}" for room in ROOMS for end in ("", ".*")]),
    entry_points={
        "console_scripts": [
            "beamcap=tfrecords_schema.beamcap:main",
            "beamcap-worker=pipeline.engines.worker_process:start",
        ]
    },
    # All that the commands need: `pip install .` gives a `beamcap` that builds, trains and serves.
    install_requires=[
        "absl-py>=2.1",
        "apache-beam>=2.76,<3",  # 2.67 to 2.75 leak memory where bundles fail
        "h5py>=3.10",
        "ijson>=3.3",
        "matplotlib>=3.8",
        "nltk>=3.9",
        "numpy>=1.26",
        "pillow>=10",
        "psutil>=5.9",
        "pyarrow>=16",
        "pycocoevalcap>=1.2",
        "tensorboard>=2.19",
        "tensorflow>=2.20,<3",
        "tensorflow-datasets>=4.9.8",
        "tqdm>=4.66",
    ],
    extras_require={
        "dev": [
            "hypothesis>=6.100",
            "mypy>=1.13",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
        ],
    },
)
