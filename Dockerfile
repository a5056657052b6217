# The image of every Ray node: Ray's own GPU image, the versions of constraints.txt, this package.
#
#   docker build -t rayograph:0.1.0-ray2.60.0 .
#
# No key goes in: nodes get the store's credentials from a role or a secret.
FROM rayproject/ray:2.60.0-py311-gpu
USER 1000
WORKDIR /home/ray/build
# The dependencies are a layer of their own, since it is large and changes seldom.
COPY --chown=1000:100 pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' >needs.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement needs.txt
COPY --chown=1000:100 README.md LICENSE ./
COPY --chown=1000:100 src src
COPY --chown=1000:100 job job
COPY --chown=1000:100 tune tune
RUN pip install --no-cache-dir --no-deps .
WORKDIR /home/ray
