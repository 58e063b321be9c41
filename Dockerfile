# The image of headpin: the proxy and its laboratory, the C library and the roots of trust, as a user without rights, on a root that may
# be read-only.
#
#   docker build --tag headpin .
#   docker run --read-only --volume "$PWD/config:/etc/headpin:ro" --publish 8443:8443 headpin
#
# Another subcommand takes the place of `serve`: docker run --rm headpin --help

FROM rust:1.95-bookworm AS build
# For aws-lc.
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Backtraces keep the names of functions, and lose the lines that would double the binary.
ENV CARGO_PROFILE_RELEASE_DEBUG=false

# The dependencies, in a layer that lasts until a Cargo.toml or Cargo.lock changes: a change in the sources compiles
# these alone. The benchmarks and the fuzzer are named by the workspace and not built.
COPY Cargo.toml Cargo.lock ./
COPY crates/lab/Cargo.toml crates/lab/
COPY crates/labels/Cargo.toml crates/labels/
COPY crates/ledger/Cargo.toml crates/ledger/
COPY crates/settings/Cargo.toml crates/settings/
COPY crates/slab/Cargo.toml crates/slab/
COPY crates/tls/Cargo.toml crates/tls/
COPY benches/Cargo.toml benches/
COPY fuzz/Cargo.toml fuzz/
RUN for each in . crates/*; do mkdir $each/src && : >$each/src/lib.rs; done \
 && for each in . crates/lab; do echo 'fn main() {}' >$each/src/main.rs; done \
 && cargo build --locked --release

COPY src src
COPY crates crates
COPY config config
# Cargo goes by times, and the stubs are younger than what was copied.
RUN touch src/*.rs crates/*/src/*.rs \
 && cargo build --locked --release

# What the image is made of, and nothing else: there is no shell in it and no package manager.
FROM debian:bookworm-slim AS root
# The roots that https upstreams are checked against.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
COPY --from=build /build/target/release/headpin /build/target/release/headpin-lab /image/usr/local/bin/
COPY LICENSE-APACHE LICENSE-MIT /image/usr/share/doc/headpin/
# The libraries that the programs name, where it looks for them; ldd prints the loader as a path of its own.
RUN cd /image \
 && ldd usr/local/bin/headpin usr/local/bin/headpin-lab | sed '/:$/d' | grep -o '/[^ ]*' | sort -u >/tmp/libraries \
 && grep -q libc.so /tmp/libraries \
 && xargs cp --parents --dereference --target-directory . </tmp/libraries \
 && cp --parents /usr/share/doc/libc6/copyright /usr/share/doc/libgcc-s1/copyright \
      /etc/ssl/certs/ca-certificates.crt . \
 && echo 'headpin:x:65532:65532::/var/lib/headpin:/sbin/nologin' >etc/passwd \
 && echo 'headpin:x:65532:' >etc/group \
 && echo 'hosts: files dns' >etc/nsswitch.conf \
 && install -d var/lib \
 && install -d -m 0750 /state/headpin

FROM scratch
COPY --from=root /image /
# A new named volume mounted at it belongs to the user too.
COPY --from=root --chown=65532:65532 /state /var/lib

# docker build --build-arg VERSION=... --build-arg REVISION="$(git rev-parse HEAD)"
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headpin" \
      org.opencontainers.image.description="A TLS WebSocket reverse proxy whose memory you can see" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# `headpin certs` writes below it.
WORKDIR /var/lib/headpin
EXPOSE 8443 9900
# Begins the drain; give it more than server.drain_grace: docker stop --time 40.
STOPSIGNAL SIGTERM
# Only admin.listen is read of the config; a fault elsewhere in it does not make a running proxy unhealthy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["headpin", "health", "--config", "/etc/headpin/headpin.toml"]
ENTRYPOINT ["headpin"]
CMD ["serve", "--config", "/etc/headpin/headpin.toml"]
