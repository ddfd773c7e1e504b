# Runs in a container of Docker: lays the engine out in the machine's /opt and becomes it, in the namespaces of PID 1.
# CRI-O looks for `nsenter` and `ip`, which busybox is under these names.
set -e
if ! [ -e /opt/crio/crio ]; then
    mkdir -p /opt/crio/bin
    cp -a /crio/. /opt/crio/
    cp /usr/bin/busybox /opt/crio/bin/nsenter
    cp /usr/bin/busybox /opt/crio/bin/ip
fi
# Out of the container's own cgroup: when CRI-O ends, Docker ends what is left in there, and that would be the programs
# that hold the containers' output.
mkdir -p /sys/fs/cgroup/crio
echo $$ >/sys/fs/cgroup/crio/cgroup.procs
export LD_LIBRARY_PATH=/opt/crio/lib PATH=/opt/crio/bin:/usr/sbin:/usr/bin SSL_CERT_FILE=/opt/crio/authorities.pem
exec /opt/crio/bin/nsenter -t 1 -m -- /opt/crio/crio --config /opt/crio/crio.conf --config-dir /opt/crio/none
