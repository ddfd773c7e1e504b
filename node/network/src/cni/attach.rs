//! The commands: attach, detach, check and collect. Everything that is done is undone when a later step fails.

use super::config::{Attachment, Config};
use super::lease::{Lease, Leases};
use super::port;
use super::reply::{Code, Failure, added, refused};
use crate::cidr::Cidr;
use crate::links::{End, Link, Links, mac_of, mac_text};
use crate::setup::gateway;
use serde_json::Value;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Attaches a pod.
///
/// # Errors
/// The failure to print.
pub async fn add(config: &Config, leases: &Leases, attachment: &Attachment) -> Result<Value, Failure> {
    let netns = File::open(&attachment.netns)
        .map_err(|e| Failure::new(Code::Environment, format!("open CNI_NETNS {}", attachment.netns), e))?;
    let links = Links::connect().map_err(refused("attach a pod"))?;
    if let Some(stale) = leases.find(attachment)? {
        // The runtime asks again after a run of ours that it did not hear of.
        release(&links, leases, &stale).await?;
    }
    let ports: Vec<_> = config.ports().cloned().collect();
    if let Some((other, port)) = port::taken(&ports, &leases.all()?) {
        let what = format!("open host port {}/{}", port.host_port, port.protocol);
        let why = format!("the pod sandbox {} has it; delete that pod or choose another port", other.container);
        return Err(Failure::new(Code::PortTaken, what, why));
    }
    let lease = leases.draw(attachment, &config.ranges, ports)?;
    leases.keep(&lease)?;
    match connect(config, &links, &netns, &lease).await {
        Ok((bridge, pod)) => {
            let macs = [mac_text(&bridge.mac), mac_text(&host_mac(&lease)), mac_text(&pod)];
            Ok(added(&config.cni_version, &lease, &config.bridge, macs, &attachment.netns))
        }
        Err(failure) => {
            if let Err(undo) = release(&links, leases, &lease).await {
                eprintln!("skerry-cni: undoing a failed attachment: {}: {}", undo.what, undo.why);
            }
            Err(failure)
        }
    }
}

/// The outer end's hardware address: the pod's with another first byte, so that both are stable and differ.
fn host_mac(lease: &Lease) -> [u8; 6] {
    let mut mac = pod_mac(lease);
    mac[0] = 0x0e;
    mac
}

fn pod_mac(lease: &Lease) -> [u8; 6] {
    lease.addresses.first().map_or([0x0a, 0x58, 0, 0, 0, 0], |own| mac_of(own.address))
}

/// Makes the links, the addresses and the ports; answers with the bridge and the pod's hardware address.
async fn connect(config: &Config, links: &Links, netns: &File, lease: &Lease) -> Result<(Link, [u8; 6]), Failure> {
    let gateways: Vec<Cidr> = config.ranges.iter().map(|range| gateway(*range)).collect();
    let bridge = links.bridge(&config.bridge, config.mtu, &gateways).await;
    let mut bridge = bridge.map_err(refused(format!("make the bridge {}", config.bridge)))?;
    if config.mtu != 0 {
        bridge.mtu = config.mtu;
    }
    // A link of this name can only be left from a run that was killed: the lease is new.
    links.remove(&lease.host_link).await.map_err(refused("remove a link that was left over"))?;
    let host = End { name: &lease.host_link, mac: host_mac(lease) };
    let pod = End { name: &lease.interface, mac: pod_mac(lease) };
    links.pair(&host, &pod, netns.as_fd(), &bridge).await.map_err(refused("connect the pod to the bridge"))?;
    let inside = links_inside(netns)?;
    let configured = async {
        inside.up("lo").await?;
        let link = inside.up(&lease.interface).await?;
        for own in &lease.addresses {
            inside.pod_address(&link, &lease.interface, *own, gateway(*own).address).await?;
        }
        Ok(())
    };
    configured.await.map_err(refused("give the pod its address"))?;
    port::open(lease).await.map_err(refused("open the pod's host ports"))?;
    Ok((bridge, pod.mac))
}

/// A connection inside a network namespace. Sockets stay where they were opened, so the thread comes back at once.
fn links_inside(netns: &File) -> Result<Links, Failure> {
    let wrong = |what: &'static str| move |e: std::io::Error| Failure::new(Code::Io, what, e);
    let here = File::open("/proc/thread-self/ns/net").map_err(wrong("remember the machine's network namespace"))?;
    enter(netns).map_err(wrong("enter the pod's network namespace"))?;
    let inside = Links::connect();
    enter(&here).map_err(wrong("come back from the pod's network namespace"))?;
    inside.map_err(refused("reach the pod's network namespace"))
}

fn enter(netns: &File) -> std::io::Result<()> {
    sys::namespace::enter_network(Path::new(&format!("/proc/self/fd/{}", netns.as_raw_fd())))
}

/// Takes back everything that a lease stands for; the lease goes last, so that a failure can be tried again.
async fn release(links: &Links, leases: &Leases, lease: &Lease) -> Result<(), Failure> {
    port::close(lease).await.map_err(refused("close the pod's host ports"))?;
    links.remove(&lease.host_link).await.map_err(refused("disconnect the pod"))?;
    leases.end(&lease.container, &lease.interface)
}

/// Detaches a pod. Whatever is gone is fine.
///
/// # Errors
/// Something is there but cannot be removed.
pub async fn del(_: &Config, leases: &Leases, attachment: &Attachment) -> Result<Value, Failure> {
    let links = Links::connect().map_err(refused("detach a pod"))?;
    match leases.find(attachment)? {
        Some(lease) => release(&links, leases, &lease).await?,
        None => {
            let name = super::lease::host_link(&attachment.container, &attachment.interface);
            links.remove(&name).await.map_err(refused("disconnect the pod"))?;
            // A file that is no lease goes as well.
            leases.end(&attachment.container, &attachment.interface)?;
        }
    }
    Ok(Value::Null)
}

/// Tells whether a pod still is as ADD left it.
///
/// # Errors
/// What is missing.
pub async fn check(_: &Config, leases: &Leases, attachment: &Attachment) -> Result<Value, Failure> {
    let missing = |what: String| Failure::new(Code::Missing, what, "delete the pod; its controller makes a new one");
    let lease = leases.find(attachment)?.ok_or_else(|| {
        missing(format!("the pod sandbox {} has no address on {}", attachment.container, attachment.interface))
    })?;
    let links = Links::connect().map_err(refused("check a pod"))?;
    let host = links.find(&lease.host_link).await.map_err(refused("check a pod"))?;
    host.ok_or_else(|| missing(format!("the link {} is gone", lease.host_link)))?;
    let netns = File::open(&attachment.netns)
        .map_err(|e| Failure::new(Code::Environment, format!("open CNI_NETNS {}", attachment.netns), e))?;
    let inside = links_inside(&netns)?;
    let link = inside.find(&lease.interface).await.map_err(refused("check a pod"))?;
    let link = link.ok_or_else(|| missing(format!("the link {} inside the pod is gone", lease.interface)))?;
    let there = inside.addresses(&link).await.map_err(refused("check a pod"))?;
    match lease.addresses.iter().find(|own| !there.contains(&own.address)) {
        Some(own) => Err(missing(format!("the address {own} inside the pod is gone"))),
        None => Ok(Value::Null),
    }
}

/// Detaches every pod that the runtime does not know.
///
/// # Errors
/// The last thing that could not be removed; the others are gone.
pub async fn collect(config: &Config, leases: &Leases) -> Result<Value, Failure> {
    let Some(known) = &config.known else {
        let why = "GC needs the list of attachments that are in use; without one nothing is removed";
        return Err(Failure::new(Code::Config, "cni.dev/valid-attachments is missing", why));
    };
    let links = Links::connect().map_err(refused("collect what is no longer used"))?;
    let mut failed = None;
    for lease in leases.all()? {
        let is_known = known.iter().any(|k| k.container == lease.container && k.interface == lease.interface);
        if !is_known && let Err(failure) = release(&links, leases, &lease).await {
            failed = Some(failure);
        }
    }
    failed.map_or(Ok(Value::Null), Err)
}

/// Tells whether ADD would be served: the folder of leases was opened, and the kernel answers.
///
/// # Errors
/// What would fail.
pub async fn status(config: &Config) -> Result<Value, Failure> {
    let asked = async { Links::connect()?.find(&config.bridge).await };
    match asked.await {
        Ok(_) => Ok(Value::Null),
        Err(why) => Err(Failure::new(Code::Unavailable, "reach the kernel's network settings", why)),
    }
}
