"""The Docker client from PyPI against the machine's Docker, led there by the variables of `skerry docker-env`.

Arguments: a folder to build from, its build argument PAGE. Prints what a container of the built image says.
"""

import sys

import docker

context, page = sys.argv[1:]
client = docker.from_env(timeout=600)
assert client.ping()
image, _ = client.images.build(path=context, tag="python:v1", buildargs={"PAGE": page}, rm=True)
assert "python:v1" in image.tags, image.tags
network = client.networks.create("python")
try:
    said = client.containers.run(image, ["cat", "/greeting", "/page"], remove=True, network=network.name)
    sleeper = client.containers.run(image, detach=True, labels={"by": "python"})
    assert [found.id for found in client.containers.list(filters={"label": "by=python"})] == [sleeper.id]
    code, output = sleeper.exec_run(["cat", "/greeting"])
    assert (code, output) == (0, b"made in the machine\n"), (code, output)
    sleeper.remove(force=True)
finally:
    network.remove()
sys.stdout.write(said.decode())
