# Debian 12 with what `make setup` installs; evidence and keys live in the volume.
FROM debian:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates git make python3 python3-venv chromium ffmpeg libnss3-tools fontconfig fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*
COPY . /srv/akashi
WORKDIR /srv/akashi
RUN make setup
ENV AKASHI_HOME=/var/lib/akashi
VOLUME /var/lib/akashi
ENTRYPOINT ["/srv/akashi/.venv/bin/akashi"]
CMD ["--help"]
