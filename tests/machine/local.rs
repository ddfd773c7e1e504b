//! The machine and its host: Services on 127.0.0.1, load balancers, the host's name, registries behind the host's proxy
//! and with the host's authorities.

use crate::harness::registry::{NAME, Registry, USER};
use crate::harness::{Machine, eventually, get, promptly};
use crate::runner::{Step, steps};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// In this order; the last one starts the machine anew.
pub const STEPS: &[Step] = steps![
    local_node_ports_answer_within_a_second_and_go_with_their_service,
    local_ports_that_are_taken_give_way_and_are_named,
    local_udp_goes_both_ways,
    local_forwards_outlive_their_supervisor,
    local_balancers_have_the_nodes_address,
    local_a_services_address_is_printed,
    local_pods_find_the_host_by_name,
    local_images_come_from_a_private_registry_through_the_hosts_proxy,
];

/// One pod's start, or an image's way, emulated.
const POD: Duration = Duration::from_secs(240);
/// What a Service may take to appear on the host, with room for a host that builds something meanwhile.
const APPEAR: Duration = Duration::from_secs(20);
/// The goal for it on a host that is quiet; the figure is printed.
const GOAL: Duration = Duration::from_secs(1);

/// A pod that serves a page at 8080.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: shop.local/tools:v1
    command: [sh, -c, 'mkdir /www && echo rock > /www/index.html && exec httpd -f -p 8080 -h /www']
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
";

fn open(machine: &Machine) {
    if machine.try_kubectl(&["get", "pod", "web"]).is_good() {
        return;
    }
    machine.load_images();
    apply(machine, PODS);
    machine.kubectl_within(POD, &["wait", "--for=condition=Ready", "pod/web", "--timeout=230s"]);
}

fn apply(machine: &Machine, text: &str) {
    machine.kubectl_given(POD, &["apply", "-f", "-"], text);
}

fn service(name: &str, kind: &str, port: u16, node_port: u16, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n  selector: {{app: web}}\n  \
         ports: [{{port: {port}, targetPort: 8080, nodePort: {node_port}}}]\n{more}"
    )
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Until something holds; how long it took.
fn soon(what: &str, holds: impl FnMut() -> bool) -> Duration {
    promptly(what, APPEAR, holds)
}

fn serves(port: u16) -> bool {
    get(at(port), "/").is_ok_and(|reply| reply.body == "rock")
}

fn local_node_ports_answer_within_a_second_and_go_with_their_service(machine: &Machine) {
    open(machine);
    apply(machine, &service("first", "NodePort", 80, 30201, ""));
    let took = soon("the Service answers", || serves(30201));
    println!("a new NodePort answers after {} ms; the goal is {} ms", took.as_millis(), GOAL.as_millis());
    apply(machine, &service("first", "NodePort", 80, 30202, ""));
    soon("the new node port answers", || serves(30202));
    soon("the old node port is shut", || TcpStream::connect(at(30201)).is_err());
    machine.kubectl(&["delete", "service", "first"]);
    let took = soon("the port goes with its Service", || TcpStream::connect(at(30202)).is_err());
    println!("its port is gone after {} ms", took.as_millis());
}

fn local_ports_that_are_taken_give_way_and_are_named(machine: &Machine) {
    open(machine);
    let _taken = TcpListener::bind(at(30203)).expect("a port of this host");
    apply(machine, &service("crowded", "NodePort", 80, 30203, ""));
    soon("the next port answers", || serves(30204));
    let told = machine.ask(&["service", "list"]);
    let line =
        told.as_array().and_then(|all| all.iter().find(|line| line["name"] == "crowded")).cloned().expect("listed");
    assert_eq!(line["url"], "http://127.0.0.1:30204");
    assert_eq!(line["note"], "30203 is taken");
    assert!(machine.outside().contains("default/crowded port 80 is at 127.0.0.1:30204, for 30203 is taken"));
    machine.kubectl(&["delete", "service", "crowded"]);
}

fn local_udp_goes_both_ways(machine: &Machine) {
    // The cluster's own DNS, seen from the host: it knows the host's name.
    apply(
        machine,
        "apiVersion: v1\nkind: Service\nmetadata: {name: names}\nspec:\n  type: NodePort\n  \
         ports: [{name: dns, port: 53, protocol: UDP, nodePort: 30205}]\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: names-1, labels: {kubernetes.io/service-name: names}}\n\
         addressType: IPv4\nports: [{name: dns, port: 53, protocol: UDP}]\nendpoints: [{addresses: [10.96.0.10]}]\n",
    );
    // One question for the address of host.skerry.internal (RFC 1035, section 4.1).
    let question =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x06skerry\x08internal\x00\x00\x01\x00\x01";
    let socket = UdpSocket::bind(at(0)).expect("a port of this host");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit");
    soon("an answer comes back", || {
        let mut answer = [0; 512];
        // Refused until the port is there.
        let count = socket.send_to(question, at(30205)).and_then(|_| socket.recv(&mut answer)).unwrap_or(0);
        answer[..count].ends_with(&[10, 0, 2, 2])
    });
    let url = machine.ask(&["service", "names"])[0]["url"].clone();
    assert_eq!(url, "udp://127.0.0.1:30205");
    machine.kubectl(&["delete", "service", "names"]);
}

fn local_forwards_outlive_their_supervisor(machine: &Machine) {
    open(machine);
    apply(machine, &service("stays", "NodePort", 80, 30206, ""));
    soon("the Service answers", || serves(30206));
    machine.kill_supervisor();
    assert!(serves(30206), "the machine does not need its supervisor to serve");
    machine.kubectl(&["delete", "service", "stays"]);
    apply(machine, &service("after", "NodePort", 80, 30207, ""));
    // The next command starts another one, which catches up.
    machine.status();
    soon("a Service of the time between answers", || serves(30207));
    soon("one that went meanwhile is shut", || TcpStream::connect(at(30206)).is_err());
    machine.kubectl(&["delete", "service", "after"]);
}

fn local_balancers_have_the_nodes_address(machine: &Machine) {
    open(machine);
    apply(machine, &service("balanced", "LoadBalancer", 8180, 30208, ""));
    let address = "{.status.loadBalancer.ingress[*].ip}";
    eventually("the balancer has an address", POD, || match machine.value("default", "service/balanced", address) {
        address if address == "10.250.0.1" => Ok(()),
        other => Err(other),
    });
    soon("its own port answers on this host", || serves(8180));
    let inside = ["exec", "web", "--", "wget", "-q", "-O-", "-T", "20", "http://10.250.0.1:8180/"];
    assert_eq!(machine.kubectl(&inside), "rock\n");
    apply(machine, &service("late", "LoadBalancer", 8180, 30209, ""));
    eventually("the second one is told why it waits", POD, || {
        let events = machine.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
        if events.contains("port 8180/TCP of the node is taken by service default/balanced") {
            Ok(())
        } else {
            Err(events)
        }
    });
    let patch = "{\"spec\":{\"loadBalancerSourceRanges\":[\"192.0.2.0/24\"]}}";
    machine.kubectl(&["patch", "service", "balanced", "-p", patch]);
    eventually("only the named ranges get through", POD, || {
        let outcome =
            machine.try_kubectl(&["exec", "web", "--", "wget", "-q", "-O-", "-T", "3", "http://10.250.0.1:8180/"]);
        if outcome.is_good() { Err(outcome.out) } else { Ok(()) }
    });
    machine.kubectl(&[
        "patch",
        "service",
        "balanced",
        "--type=merge",
        "-p",
        "{\"spec\":{\"type\":\"ClusterIP\",\"loadBalancerSourceRanges\":null}}",
    ]);
    eventually("the address goes with the type, and the waiting one gets it", POD, || {
        let of = |service: &str| machine.value("default", service, address);
        match (of("service/balanced"), of("service/late")) {
            (none, one) if none.is_empty() && one == "10.250.0.1" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    machine.kubectl_within(POD, &["delete", "service", "balanced", "late", "--timeout=60s"]);
}

fn local_a_services_address_is_printed(machine: &Machine) {
    open(machine);
    apply(machine, &service("shown", "NodePort", 443, 30210, ""));
    let told = machine.ask(&["service", "shown", "--wait"]);
    assert_eq!(told[0]["url"], "https://127.0.0.1:30210");
    let absent = machine.try_skerry(&["service", "nobody"]);
    assert_eq!(absent.code, Some(7), "{absent:?}");
    let inner = machine.try_skerry(&["service", "kubernetes"]);
    assert_eq!(inner.code, Some(7), "{inner:?}");
    assert!(inner.out.contains("ClusterIP") && inner.out.contains("port-forward"), "{inner:?}");
    machine.kubectl(&["delete", "service", "shown"]);
}

fn local_pods_find_the_host_by_name(machine: &Machine) {
    open(machine);
    let listener = TcpListener::bind(at(0)).expect("a port of this host");
    let port = listener.local_addr().expect("bound").port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 1024];
        let count = stream.read(&mut request)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")?;
        std::io::Result::Ok(String::from_utf8_lossy(&request[..count]).into_owned())
    });
    let url = format!("http://host.skerry.internal:{port}/x");
    assert_eq!(machine.kubectl(&["exec", "web", "--", "wget", "-q", "-O-", "-T", "20", &url]), "hello");
    let request = answering.join().expect("it ran").expect("it was asked");
    assert!(request.starts_with("GET /x "), "{request}");
    // A name that nobody knows is answered as such, soon.
    let began = Instant::now();
    let unknown = machine.try_kubectl(&["exec", "web", "--", "nslookup", "nobody.invalid."]);
    assert!(!unknown.is_good(), "{unknown:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

fn local_images_come_from_a_private_registry_through_the_hosts_proxy(machine: &Machine) {
    let registry = Registry::serve(&machine.archive("shop.local/tools:v1")).expect("a registry");
    let authority = machine.folder("local").join("authority.pem");
    std::fs::write(&authority, &registry.authority).expect("a file");
    let proxy = format!("http://me:hunter2@127.0.0.1:{}", registry.proxy);
    machine.stop();
    let began = Instant::now();
    machine.start_as(&[("https_proxy", &proxy)], &["--ca", authority.to_str().expect("letters")]);
    println!("a warm start took {:.1} s", began.elapsed().as_secs_f64());
    assert!(!machine.outside().contains("hunter2"), "the proxy's password is seen outside");
    eventually("the pod of before runs again", POD, || {
        let ready = machine.value("default", "pod/web", "{.status.containerStatuses[0].ready}");
        if ready == "true" { Ok(()) } else { Err(ready) }
    });
    let direct = format!("host.skerry.internal:{}", registry.port);
    for (name, server, image) in [
        ("proxied", NAME.to_owned(), format!("{NAME}/rock/tools:v1")),
        ("direct", direct.clone(), format!("{direct}/rock/tools:v2")),
    ] {
        let secret = ["create", "secret", "docker-registry", name, "--docker-server", &server];
        let user = ["--docker-username", USER.0, "--docker-password", USER.1];
        machine.kubectl(&[&secret[..], &user[..]].concat());
        let pod = |name: &str, secrets: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  {secrets}\n  \
                 containers: [{{name: one, image: '{image}', imagePullPolicy: Always, command: [echo, came]}}]\n"
            )
        };
        apply(machine, &pod(name, &format!("imagePullSecrets: [{{name: {name}}}]")));
        eventually("the pod with the password runs", POD, || {
            let phase = machine.value("default", &format!("pod/{name}"), "{.status.phase}");
            if phase == "Succeeded" { Ok(()) } else { Err(format!("{phase}: {:?}", registry.log())) }
        });
        let without = format!("{name}-without");
        apply(machine, &pod(&without, ""));
        eventually("the pod without it is told why", POD, || {
            let reason = machine.value(
                "default",
                &format!("pod/{without}"),
                "{.status.containerStatuses[0].state.waiting.reason}",
            );
            if ["ErrImagePull", "ImagePullBackOff"].contains(&reason.as_str()) { Ok(()) } else { Err(reason) }
        });
    }
    let log = registry.log();
    assert!(log.contains(&format!("proxy {NAME}:443")), "{log:?}");
    assert!(!log.iter().any(|line| line.starts_with("proxy host.skerry.internal")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("puller /v2/rock/tools/manifests/v2")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("anonymous ")), "{log:?}");
}
