#!/bin/sh
# A virtual environment, and in gen/ what grpcio-tools generates from the contracts.
set -eu
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
mkdir -p gen
# shellcheck disable=SC2046 # a list of files
.venv/bin/python -m grpc_tools.protoc --proto_path=../../proto \
    --python_out=gen --pyi_out=gen --grpc_python_out=gen $(find ../../proto -name '*.proto')
