//! [`Objects`] in memory, for tests.

use super::{Answer, Objects};
use api::Status;
use client::Meta;
use k8s_openapi::api::authentication::v1::{TokenRequestSpec, TokenRequestStatus};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::{Arc, Mutex};

/// What there is; tests fill it in.
#[derive(Default)]
pub struct Fixed {
    /// ConfigMaps.
    pub config_maps: Mutex<Vec<ConfigMap>>,
    /// Secrets.
    pub secrets: Mutex<Vec<Secret>>,
    /// Claims.
    pub claims: Mutex<Vec<PersistentVolumeClaim>>,
    /// Volumes.
    pub volumes: Mutex<Vec<PersistentVolume>>,
    /// Services.
    pub services: Mutex<Vec<Service>>,
    /// What tokens were asked for; the n-th token is `token-n` and expires as asked, counted from 1970.
    pub asked: Mutex<Vec<TokenRequestSpec>>,
}

fn find<T: Meta + Clone>(all: &Mutex<Vec<T>>, namespace: &str, name: &str) -> Result<Option<Arc<T>>, Status> {
    let all = all.lock().unwrap();
    Ok(all.iter().find(|o| o.namespace() == namespace && o.name() == name).cloned().map(Arc::new))
}

impl Objects for Fixed {
    fn hold(&self, _: &Pod) {}
    fn release(&self, _: &str) {}
    fn config_map<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<ConfigMap>>> {
        Box::pin(async move { find(&self.config_maps, namespace, name) })
    }
    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<Secret>>> {
        Box::pin(async move { find(&self.secrets, namespace, name) })
    }
    fn claim<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolumeClaim>>> {
        Box::pin(async move { find(&self.claims, namespace, name) })
    }
    fn volume<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Arc<PersistentVolume>>> {
        Box::pin(async move { find(&self.volumes, "", name) })
    }
    fn services<'a>(&'a self, namespace: &'a str) -> Answer<'a, Vec<Arc<Service>>> {
        let all = self.services.lock().unwrap();
        let found = all.iter().filter(|s| s.namespace() == namespace).cloned().map(Arc::new).collect();
        Box::pin(async move { Ok(found) })
    }
    fn token<'a>(&'a self, _: &'a str, _: &'a str, spec: TokenRequestSpec) -> Answer<'a, TokenRequestStatus> {
        let mut asked = self.asked.lock().unwrap();
        let token = format!("token-{}", asked.len() + 1);
        let end = jiff::Timestamp::from_second(spec.expiration_seconds.unwrap_or(3600)).unwrap();
        asked.push(spec);
        let status = TokenRequestStatus { token: Some(token), expiration_timestamp: Some(Time(end)) };
        Box::pin(async move { Ok(status) })
    }
}
