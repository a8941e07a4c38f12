//! What the daemon is told to make of a run. Each field is named here; what is not, no caller can ask for.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount as ApiMount, MountTmpfsOptions, MountType,
    PortBinding,
};

use super::policy::Permit;
use super::run::{Mount, MountSource, Port, Protocol, Run};

/// How a container shows whose it is.
pub(super) const LABEL_CLUSTER: &str = "phalanx.cluster";
pub(super) const LABEL_WORKER: &str = "phalanx.worker";
/// The boot of the worker that made it.
pub(super) const LABEL_BOOT: &str = "phalanx.boot";
pub(super) const LABEL_TASK: &str = "phalanx.task";
/// On those that are to be kept.
pub(super) const LABEL_KEPT: &str = "phalanx.kept";

/// Nanoseconds of processor time in a second, for a hundredth of one core.
const NANO_CPUS_PER_PERCENT: i64 = 10_000_000;

/// The body of the order to create a container.
pub(super) fn body(
    run: Run,
    permit: &Permit,
    labels: BTreeMap<String, String>,
    log_bytes_max: u64,
) -> ContainerCreateBody {
    let host_config = host_config(&run, permit, log_bytes_max);
    ContainerCreateBody {
        image: Some(permit.image.to_string()),
        entrypoint: run.entrypoint,
        cmd: run.command,
        env: Some(variables(run.environment)),
        working_dir: run.folder,
        user: run.user,
        labels: Some(labels.into_iter().collect()),
        exposed_ports: Some(run.ports.iter().map(container_port).collect()),
        tty: Some(false),
        open_stdin: Some(false),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// As the API wants variables.
pub(super) fn variables(environment: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn host_config(run: &Run, permit: &Permit, log_bytes_max: u64) -> HostConfig {
    let limits = permit.limits;
    let memory_bytes = limits.memory_bytes.map(signed);
    let mut port_bindings: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in &run.ports {
        let (host_ip, host_port) = (Some(permit.address.to_string()), Some(port.host_port.to_string()));
        let bindings = port_bindings.entry(container_port(port)).or_default();
        bindings.get_or_insert_default().push(PortBinding { host_ip, host_port });
    }
    // Whatever a program in it may become by its own files: no more than it was.
    let security_opt = if run.privileged { vec![] } else { vec!["no-new-privileges:true".to_owned()] };
    HostConfig {
        memory: memory_bytes,
        memory_swap: memory_bytes,
        nano_cpus: limits.cpu_percent.map(|percent| i64::from(percent).saturating_mul(NANO_CPUS_PER_PERCENT)),
        pids_limit: limits.processes.map(i64::from),
        network_mode: Some(run.network.clone()),
        port_bindings: Some(port_bindings.into_iter().collect()),
        mounts: Some(permit.mounts.iter().map(mount).collect()),
        readonly_rootfs: Some(run.read_only),
        init: Some(run.init),
        privileged: Some(run.privileged),
        security_opt: Some(security_opt),
        log_config: Some(log_config(log_bytes_max)),
        ..HostConfig::default()
    }
}

/// The daemon's own bounded log: half of it goes at one time.
fn log_config(log_bytes_max: u64) -> HostConfigLogConfig {
    let file_bytes = (log_bytes_max / 2).max(1);
    let options = [("max-size", format!("{file_bytes}b")), ("max-file", "2".to_owned())];
    let config = options.map(|(name, value)| (name.to_owned(), value));
    HostConfigLogConfig { typ: Some("local".to_owned()), config: Some(config.into_iter().collect()) }
}

fn container_port(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.container_port)
}

/// By the API's newer way: what is not there is an error, where the older one made a folder, as root.
fn mount(mount: &Mount) -> ApiMount {
    let (typ, source, size_bytes) = match &mount.source {
        MountSource::Host(path) => (MountType::BIND, Some(path.clone()), None),
        MountSource::Volume(name) => (MountType::VOLUME, Some(name.clone()), None),
        MountSource::Memory(bytes) => (MountType::TMPFS, None, Some(signed(*bytes))),
    };
    let memory = |size| MountTmpfsOptions { size_bytes: Some(size), ..MountTmpfsOptions::default() };
    ApiMount {
        typ: Some(typ),
        source,
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        tmpfs_options: size_bytes.map(memory),
        ..ApiMount::default()
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::{Access, Limits, Policy};

    fn made(policy: Policy, run: Run) -> ContainerCreateBody {
        let permit = policy.in_force().unwrap().check(&run).unwrap();
        body(run, &permit, BTreeMap::new(), 10 << 20)
    }

    fn policy() -> Policy {
        Policy::new("/socket").allow_image("app")
    }

    #[test]
    fn by_default_a_container_has_nothing_of_the_machine() {
        let body = made(policy(), Run::new("app"));
        assert_eq!(body.image.as_deref(), Some("docker.io/library/app:latest"));
        assert_eq!((body.cmd, body.entrypoint, body.user), (None, None, None));
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.privileged, Some(false));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges:true".to_owned()]));
        assert_eq!((host.mounts, host.binds, host.devices, host.cap_add), (Some(vec![]), None, None, None));
        assert_eq!((host.pid_mode, host.ipc_mode, host.auto_remove), (None, None, None));
        assert_eq!(host.pids_limit, Some(1_024));
        let log = host.log_config.unwrap();
        assert_eq!(log.config.unwrap()["max-size"], format!("{}b", 5 << 20));
    }

    #[test]
    fn each_part_of_a_run_has_its_place() {
        let limits = Limits { memory_bytes: Some(1 << 25), cpu_percent: Some(150), processes: Some(7) };
        let run = Run::new("app")
            .entrypoint(["/bin/sh"])
            .command(["-c", "true"])
            .environment("A", "b=c")
            .folder("/w")
            .user("1:2")
            .limits(limits)
            .network("bridge")
            .port(80, 8080)
            .mount(MountSource::Volume("data".into()), "/data")
            .mount_read_only(MountSource::Memory(4096), "/tmp")
            .read_only()
            .init();
        let loopback = "127.0.0.1".parse().unwrap();
        let policy = policy()
            .allow_network("bridge")
            .allow_ports(loopback, 8000..=9000)
            .allow_volume("data", Access::ReadWrite);
        let body = made(policy, run);
        assert_eq!(body.env, Some(vec!["A=b=c".to_owned()]));
        assert_eq!(body.exposed_ports, Some(vec!["80/tcp".to_owned()]));
        assert_eq!(body.user.as_deref(), Some("1:2"));
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(1 << 25), Some(1 << 25)));
        assert_eq!((host.nano_cpus, host.pids_limit), (Some(1_500_000_000), Some(7)));
        let binding = host.port_bindings.unwrap()["80/tcp"].clone().unwrap().remove(0);
        assert_eq!(
            (binding.host_ip.unwrap(), binding.host_port.unwrap()),
            ("127.0.0.1".into(), "8080".into())
        );
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts[0].source.as_deref(), Some("data"));
        assert_eq!((mounts[0].read_only, mounts[1].read_only), (Some(false), Some(true)));
        assert_eq!(mounts[1].tmpfs_options.as_ref().unwrap().size_bytes, Some(4096));
        assert_eq!((host.readonly_rootfs, host.init), (Some(true), Some(true)));
    }
}
