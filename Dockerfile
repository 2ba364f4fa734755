# Server and worker in one image, for the CPU; compose.yaml starts them.
FROM python:3.11-slim-bookworm

# LightGBM needs libgomp; the Makefile has the commands
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 make && rm -rf /var/lib/apt/lists/*

# torch without CUDA, which would be several GB
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE Makefile prefect.yaml ./
COPY pricing pricing
COPY tasks tasks
COPY flows flows
RUN pip install --no-cache-dir --editable ".[offline,serve,dask,s3]" --constraint constraints.txt

# the folders that volumes are mounted on take their owner from here
RUN useradd --uid 1000 --create-home pricing \
    && mkdir -p data artifacts output /home/pricing/.prefect \
    && chown -R pricing:pricing /app /home/pricing
USER pricing
ENV MAKEFLAGS="BIN=/usr/local/bin" PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
EXPOSE 4200
CMD ["make", "-o", "install", "server"]
