//! Makes and removes the ports that Services want, by the emulator's monitor. What is decided is in `forwards`.

use super::forwards::{self, Action, Forward, Unreachable, Wanted};
use super::log;
use crate::cluster::emulator::NETWORK;
use crate::cluster::ports;
use crate::cluster::qmp::Monitor;
use serde_json::Value;
use std::collections::BTreeMap;

/// The forwards that there are.
#[derive(Debug, Default)]
pub struct Follow {
    have: Vec<Forward>,
    /// What was said to have none, so that it is said once.
    told: Vec<Unreachable>,
    /// Whether a port shall lead to Docker's.
    docker: bool,
}

impl Follow {
    /// Takes over the forwards that another supervisor has made; whose they are is found out with the Services.
    pub async fn take_over(monitor: &Monitor, api_port: u16) -> Follow {
        let text = match monitor.human("info usernet").await {
            Ok(text) => text,
            Err(error) => {
                log(&format!("forwards: {error:#}"));
                return Follow::default();
            }
        };
        let have: Vec<Forward> = forwards::found(&text, api_port)
            .into_iter()
            .map(|((protocol, host), guest)| Forward {
                service: String::new(),
                protocol,
                port: 0,
                host,
                guest,
                preferred: host,
            })
            .collect();
        let docker = have.iter().any(|forward| forward.guest == forwards::DOCKER_PORT);
        Follow { have, told: Vec::new(), docker }
    }

    /// From the next adjustment on a port leads to Docker's.
    pub fn want_docker(&mut self) {
        self.docker = true;
    }

    /// Brings the forwards in line with the Services; returns those that there are, and what has none.
    pub async fn adjust(
        &mut self,
        monitor: &Monitor,
        objects: &BTreeMap<String, Value>,
    ) -> (Vec<Forward>, Vec<Unreachable>) {
        let mut wanted = forwards::wanted(objects.values());
        wanted.extend(self.docker.then(forwards::docker));
        self.recognise(&wanted);
        for action in forwards::plan(&wanted, &self.have, ports::is_free) {
            match action {
                Action::Remove(forward) => self.remove(monitor, &forward).await,
                Action::Add(wanted, ports) => self.add(monitor, &wanted, &ports).await,
            }
        }
        let mut without = forwards::missing(&wanted, &self.have);
        without.extend(forwards::impossible(objects.values()));
        for port in without.iter().filter(|port| !self.told.contains(port)) {
            log(&format!("forwards: none for {} port {}/{}: {}", port.service, port.port, port.protocol, port.why));
        }
        self.told.clone_from(&without);
        (self.have.clone(), without)
    }

    /// Names the Services of forwards that were taken over.
    fn recognise(&mut self, wanted: &std::collections::BTreeSet<Wanted>) {
        for at in 0..self.have.len() {
            let nameless = &self.have[at];
            if !nameless.service.is_empty() {
                continue;
            }
            let is_named = |wanted: &Wanted| {
                self.have.iter().any(|have| have.service == wanted.service && have.preferred == wanted.preferred)
            };
            let fits = |wanted: &&Wanted| {
                (wanted.protocol, wanted.guest) == (nameless.protocol, nameless.guest) && !is_named(wanted)
            };
            // One that has the port it wants, before one that had to take another.
            let exact = wanted.iter().filter(fits).find(|wanted| wanted.preferred == nameless.host);
            let owner = exact.or_else(|| wanted.iter().find(fits)).cloned();
            if let Some(Wanted { service, port, preferred, .. }) = owner {
                let host = self.have[at].host;
                let (protocol, guest) = (self.have[at].protocol, self.have[at].guest);
                self.have[at] = Forward { service, protocol, port, host, guest, preferred };
            }
        }
    }

    async fn remove(&mut self, monitor: &Monitor, forward: &Forward) {
        let line = format!("hostfwd_remove {NETWORK} {}:127.0.0.1:{}", forward.protocol.word(), forward.host);
        // "host forwarding rule for … removed" is its answer when all is well.
        match monitor.human(&line).await {
            Ok(answer) if answer.ends_with("removed") || answer.is_empty() => {}
            Ok(answer) => log(&format!("forwards: {line}: {answer}")),
            Err(error) => log(&format!("forwards: {error:#}")),
        }
        self.have.retain(|have| have != forward);
    }

    async fn add(&mut self, monitor: &Monitor, wanted: &Wanted, ports: &[u16]) {
        let Wanted { service, protocol, port, guest, preferred } = wanted.clone();
        for host in ports {
            let line = format!("hostfwd_add {NETWORK} {}:127.0.0.1:{host}-:{guest}", protocol.word());
            match monitor.human(&line).await {
                Ok(answer) if answer.is_empty() => {
                    let forward = Forward { service, protocol, port, host: *host, guest, preferred };
                    if let Some(why) = forward.instead() {
                        let (service, port) = (&forward.service, forward.port);
                        log(&format!("forwards: {service} port {port} is at 127.0.0.1:{host}, for {why}"));
                    }
                    self.have.push(forward);
                    return;
                }
                Ok(answer) => log(&format!("forwards: {line}: {answer}")),
                Err(error) => return log(&format!("forwards: {error:#}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ports::Protocol;
    use std::collections::BTreeSet;

    #[test]
    fn forwards_that_were_taken_over_find_their_services() {
        let nameless = |host, guest| Forward {
            service: String::new(),
            protocol: Protocol::Tcp,
            port: 0,
            host,
            guest,
            preferred: host,
        };
        let wanted = |preferred| Wanted {
            service: "default/web".to_owned(),
            protocol: Protocol::Tcp,
            port: 80,
            guest: 30080,
            preferred,
        };
        let have = vec![nameless(30080, 30080), nameless(8081, 30080), nameless(9, 9)];
        let mut follow = Follow { have, told: Vec::new(), docker: false };
        let all = BTreeSet::from([wanted(30080), wanted(80)]);
        follow.recognise(&all);
        let preferred: Vec<(u16, &str)> = follow.have.iter().map(|f| (f.preferred, f.service.as_str())).collect();
        assert_eq!(preferred, [(30080, "default/web"), (80, "default/web"), (9, "")]);
        assert_eq!(forwards::plan(&all, &follow.have, |_, _| true), [Action::Remove(follow.have[2].clone())]);
    }
}
