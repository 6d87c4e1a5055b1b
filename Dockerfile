# Lightning-Seg in a container.
#   docker build -t lightning-seg .                                     the CPU
#   docker build -t lightning-seg --build-arg TORCH=cu128 .              CUDA: then run with --gpus all
#   docker run --rm -it -v "$PWD:/work" lightning-seg train experiment=demo
FROM python:3.11-slim

# PyTorch's build: cpu, or CUDA's (cu126, cu128, ...). CUDA's libraries come with it; the host needs the driver alone.
ARG TORCH=cpu

RUN apt-get update && apt-get install -y --no-install-recommends libarchive13 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/lightning-seg
COPY pyproject.toml README.md LICENSE ./
COPY lightning_seg ./lightning_seg
COPY hydra_plugins ./hydra_plugins
COPY conf ./conf
RUN pip install --no-cache-dir torch torchvision --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && pip install --no-cache-dir ".[gpus,export,rar,heic]"

# Studies, data and weights stay in the folder that is mounted.
WORKDIR /work
ENV HF_HOME=/work/.cache/huggingface MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["lightning-seg"]
CMD ["--help"]
