//! The manifests of Kubernetes: each document is of a type that Kubernetes knows, and has no field that it does not.
//!
//! The API server drops an unknown field with a warning that nobody reads. Here a document is read into its type and written
//! out again: what does not come back was not understood.

use std::collections::BTreeSet;
use std::fs;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::{Value, json};

use crate::files::files;

/// Every document with where it stands.
pub(crate) fn documents() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for path in files("kubernetes", "yaml") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, document) in serde_yaml_ng::Deserializer::from_str(&text).enumerate() {
            let at = format!("{}, document {}", path.display(), number + 1);
            let document = Value::deserialize(document).unwrap_or_else(|error| panic!("{at}: {error}"));
            all.push((at, document));
        }
    }
    all
}

/// What is wrong with a document.
fn mistakes(document: &Value) -> Vec<String> {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("v1", "Namespace") => of_type::<Namespace>(document),
        ("v1", "ServiceAccount") => of_type::<ServiceAccount>(document),
        ("v1", "ConfigMap") => of_type::<ConfigMap>(document),
        ("v1", "Secret") => of_type::<Secret>(document),
        ("v1", "Service") => of_type::<Service>(document),
        ("apps/v1", "StatefulSet") => of_type::<StatefulSet>(document),
        ("apps/v1", "Deployment") => of_type::<Deployment>(document),
        ("policy/v1", "PodDisruptionBudget") => of_type::<PodDisruptionBudget>(document),
        ("rbac.authorization.k8s.io/v1", "Role") => of_type::<Role>(document),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => of_type::<RoleBinding>(document),
        (version, kind) => vec![format!("nobody checks a {kind} of {version}: add its type here")],
    }
}

fn of_type<T: DeserializeOwned + Serialize>(document: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    match serde_json::from_value::<T>(document.clone()) {
        Ok(read) => compare("", document, &serde_json::to_value(read).unwrap(), &mut lost),
        Err(error) => lost.push(error.to_string()),
    }
    lost
}

/// Notes what was given and has not come back.
fn compare(at: &str, given: &Value, back: &Value, lost: &mut Vec<String>) {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => {
            for (key, value) in given {
                let at = format!("{at}.{key}");
                match back.get(key) {
                    Some(back) => compare(&at, value, back, lost),
                    None => lost.push(format!("{at} is unknown")),
                }
            }
        }
        (Value::Array(given), Value::Array(back)) if given.len() == back.len() => {
            for (place, (given, back)) in given.iter().zip(back).enumerate() {
                compare(&format!("{at}[{place}]"), given, back, lost);
            }
        }
        (given, back) if given == back => {}
        (given, back) => lost.push(format!("{at}: {given} is read as {back}")),
    }
}

/// The document of this kind and name.
fn the(kind: &str, name: &str) -> Value {
    let is_it = |document: &Value| document["kind"] == kind && document["metadata"]["name"] == name;
    let found = documents().into_iter().map(|(_, document)| document).find(is_it);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

#[test]
fn every_manifest_is_understood_whole() {
    for (at, document) in documents() {
        assert_eq!(mistakes(&document), [""; 0], "{at}");
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_found() {
    let mut set = the("StatefulSet", "phalanx-control");
    set["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = json!({});
    assert_eq!(mistakes(&set), [".spec.template.spec.containers[0].readynessProbe is unknown"]);
    let mut service = the("Service", "phalanx-control");
    service["spec"]["publishNotReadyAddresses"] = json!("yes");
    assert_eq!(mistakes(&service).len(), 1, "a text is no truth value");
    service["kind"] = json!("Servise");
    assert_eq!(mistakes(&service).len(), 1);
}

#[test]
fn a_cluster_can_form_and_can_be_rolled() {
    let set = the("StatefulSet", "phalanx-control");
    let service = the("Service", "phalanx-control");
    // Ready comes after having been found, and drains are waited for.
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert!(set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() > 75);
    // The cluster waits for as many as there are.
    let config = the("ConfigMap", "phalanx");
    let control: toml::Table = config["data"]["control.toml"].as_str().unwrap().parse().unwrap();
    assert_eq!(control["expected-controls"].as_integer(), set["spec"]["replicas"].as_i64());
    assert_eq!(the("PodDisruptionBudget", "phalanx-control")["spec"]["maxUnavailable"], 1);
}

#[test]
fn names_mean_something_that_is_there() {
    let known: BTreeSet<(String, String)> = documents()
        .iter()
        .map(|(_, it)| {
            (it["kind"].as_str().unwrap().to_owned(), it["metadata"]["name"].as_str().unwrap().to_owned())
        })
        .collect();
    for (kind, name) in [("StatefulSet", "phalanx-control"), ("Deployment", "phalanx-worker")] {
        let workload = the(kind, name);
        let pod = &workload["spec"]["template"];
        assert_eq!(workload["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"], "{name}");
        let mut volumes: BTreeSet<&str> = BTreeSet::new();
        for volume in pod["spec"]["volumes"].as_array().unwrap() {
            volumes.insert(volume["name"].as_str().unwrap());
            let sources =
                [("ConfigMap", &volume["configMap"]["name"]), ("Secret", &volume["secret"]["secretName"])];
            for (kind, name) in sources {
                let Some(name) = name.as_str() else { continue };
                assert!(known.contains(&(kind.to_owned(), name.to_owned())), "{kind} {name}");
            }
        }
        for claim in workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            volumes.insert(claim["metadata"]["name"].as_str().unwrap());
        }
        for mount in pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(mount["name"].as_str().unwrap()), "{name}: {mount}");
        }
    }
    let set = the("StatefulSet", "phalanx-control");
    assert_eq!(the("Service", "phalanx-control")["spec"]["selector"], set["spec"]["selector"]["matchLabels"]);
    let account = set["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap().to_owned();
    assert!(known.contains(&("ServiceAccount".to_owned(), account)));
}
