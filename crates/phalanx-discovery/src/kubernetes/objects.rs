//! The objects of the Kubernetes API, as far as they matter here: `discovery.k8s.io/v1` EndpointSlices and `v1` Pods.
//!
//! Lists that are empty come as `null` or not at all, and every condition may be missing: then it is unknown, which the API
//! reference says to take for the better.

use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::endpoint::{Choice, Endpoint, Rank};

/// Which kind of objects is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    EndpointSlices,
    Pods,
}

/// One object: its name, and the endpoints that are wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) endpoints: Vec<Endpoint>,
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// The version of the whole list, from which a watch goes on.
    pub(super) version: String,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<String>,
}

/// What a line of a watch says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WatchEvent {
    /// An object is there, with the version of this change.
    Present(Item, String),
    /// It is gone.
    Absent(String, String),
    /// Nothing but the version.
    Bookmark(String),
    /// The watch has failed, with a status of HTTP and what the server says.
    Failed(u16, String),
}

#[derive(Deserialize)]
struct List<T> {
    metadata: ListMeta,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct EventKind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct EventOf<T> {
    object: T,
}

#[derive(Deserialize)]
struct Bare {
    metadata: Meta,
}

/// The object that says what failed.
#[derive(Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointSlice {
    metadata: Meta,
    address_type: String,
    endpoints: Option<Vec<SliceEndpoint>>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Deserialize)]
struct SliceEndpoint {
    addresses: Option<Vec<String>>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct SlicePort {
    name: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Meta,
    spec: PodSpec,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    #[serde(default)]
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    conditions: Option<Vec<PodCondition>>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: String,
}

#[derive(Deserialize)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// What both kinds of objects have in common.
trait Object: DeserializeOwned {
    fn meta(&mut self) -> &mut Meta;
    fn endpoints(&self, choice: &Choice) -> Vec<Endpoint>;

    fn item(mut self, choice: &Choice) -> (Item, String) {
        let endpoints = self.endpoints(choice);
        let meta = self.meta();
        let name = std::mem::take(&mut meta.name);
        (Item { name, endpoints }, std::mem::take(&mut meta.resource_version))
    }
}

impl Object for EndpointSlice {
    fn meta(&mut self) -> &mut Meta {
        &mut self.metadata
    }

    fn endpoints(&self, choice: &Choice) -> Vec<Endpoint> {
        // The third kind, FQDN, has names that no controller makes.
        if !matches!(self.address_type.as_str(), "IPv4" | "IPv6") {
            return Vec::new();
        }
        let declared = |port: &SlicePort| Some((port.name.clone().unwrap_or_default(), port.port?));
        let declared: Vec<_> = self.ports.iter().flatten().filter_map(declared).collect();
        let Some(port) = choice.port.of(&declared) else { return Vec::new() };
        let of_one = |endpoint: &SliceEndpoint| {
            let rank = endpoint.conditions.rank();
            let addresses = endpoint.addresses.iter().flatten();
            addresses.filter_map(move |ip| choice.endpoint(ip.parse().ok()?, port, rank)).collect::<Vec<_>>()
        };
        self.endpoints.iter().flatten().flat_map(of_one).collect()
    }
}

impl Conditions {
    /// `serving` comes before `ready`, which a Service with `publishNotReadyAddresses` sets for every Pod.
    fn rank(&self) -> Rank {
        match (self.terminating.unwrap_or(false), self.serving.or(self.ready).unwrap_or(true)) {
            (true, _) => Rank::Terminating,
            (false, true) => Rank::Ready,
            (false, false) => Rank::NotReady,
        }
    }
}

impl Object for Pod {
    fn meta(&mut self) -> &mut Meta {
        &mut self.metadata
    }

    fn endpoints(&self, choice: &Choice) -> Vec<Endpoint> {
        let Some(status) = &self.status else { return Vec::new() };
        // It has ended for good, and its address may be another Pod's.
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return Vec::new();
        }
        let containers = self.spec.containers.iter().flatten();
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        let declared: Vec<_> =
            ports.map(|port| (port.name.clone().unwrap_or_default(), port.container_port)).collect();
        let Some(port) = choice.port.of(&declared) else { return Vec::new() };
        let rank = match (&self.metadata.deletion_timestamp, status.is_ready()) {
            (Some(_), _) => Rank::Terminating,
            (None, true) => Rank::Ready,
            (None, false) => Rank::NotReady,
        };
        let ips = status.ips().filter_map(|ip| ip.parse::<IpAddr>().ok());
        ips.filter_map(|ip| choice.endpoint(ip, port, rank)).collect()
    }
}

impl PodStatus {
    fn is_ready(&self) -> bool {
        self.conditions.iter().flatten().any(|known| known.kind == "Ready" && known.status == "True")
    }

    /// `podIPs` where it is there, else `podIP`, which is the first of them.
    fn ips(&self) -> impl Iterator<Item = &str> {
        let many = self.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
        let one = if self.pod_ips.as_ref().is_none_or(Vec::is_empty) { self.pod_ip.as_deref() } else { None };
        many.chain(one)
    }
}

impl Resource {
    /// Reads a page of a list.
    pub(super) fn page(self, json: &[u8], choice: &Choice) -> Result<Page, serde_json::Error> {
        match self {
            Self::EndpointSlices => page::<EndpointSlice>(json, choice),
            Self::Pods => page::<Pod>(json, choice),
        }
    }

    /// Reads a line of a watch.
    pub(super) fn event(self, json: &[u8], choice: &Choice) -> Result<WatchEvent, serde_json::Error> {
        match self {
            Self::EndpointSlices => event::<EndpointSlice>(json, choice),
            Self::Pods => event::<Pod>(json, choice),
        }
    }
}

fn page<T: Object>(json: &[u8], choice: &Choice) -> Result<Page, serde_json::Error> {
    let List { metadata, items } = serde_json::from_slice::<List<T>>(json)?;
    let items = items.unwrap_or_default().into_iter().map(|object| object.item(choice).0).collect();
    let next = metadata.next.filter(|next| !next.is_empty());
    Ok(Page { items, version: metadata.resource_version, next })
}

fn event<T: Object>(json: &[u8], choice: &Choice) -> Result<WatchEvent, serde_json::Error> {
    let EventKind { kind } = serde_json::from_slice(json)?;
    Ok(match kind.as_str() {
        "ADDED" | "MODIFIED" => {
            let (item, version) = serde_json::from_slice::<EventOf<T>>(json)?.object.item(choice);
            WatchEvent::Present(item, version)
        }
        "ERROR" => {
            let Status { code, message } = serde_json::from_slice::<EventOf<Status>>(json)?.object;
            WatchEvent::Failed(code, message)
        }
        "DELETED" => {
            let Bare { metadata } = serde_json::from_slice::<EventOf<Bare>>(json)?.object;
            WatchEvent::Absent(metadata.name, metadata.resource_version)
        }
        // A bookmark; and whatever else there may be one day has a version too.
        _ => WatchEvent::Bookmark(
            serde_json::from_slice::<EventOf<Bare>>(json)?.object.metadata.resource_version,
        ),
    })
}

#[cfg(test)]
mod tests;
