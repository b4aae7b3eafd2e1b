# The page for a server of one's own: docker build -t visual-token-explorer . && docker run --rm -p 7860:7860 visual-token-explorer
# On an NVIDIA GPU: build with --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 and run with --gpus all.
FROM python:3.12.12-slim-bookworm

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 GRADIO_ANALYTICS_ENABLED=False

RUN useradd --create-home --uid 1000 visitor
WORKDIR /project

COPY requirements.txt ./
RUN pip install --extra-index-url "$TORCH_INDEX" -r requirements.txt

# The program belongs to root: whoever runs it can change nothing in it.
COPY . .

USER visitor
ENV HOME=/home/visitor
# The embedded models (270 MB fetched, assembled in the home folder) are part of the image: no network at the start.
RUN python -m vlm fetch

ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
CMD ["python", "app.py"]
