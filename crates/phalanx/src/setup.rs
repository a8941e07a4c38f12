//! What both builders collect, and the first steps of both starts: name, boot, socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use phalanx_base::{Address, AddressList, Boot, ClusterSeal, Generation, Labels, NodeId, Role, planted};
use phalanx_discovery::{ClusterScope, Discover, DiscoverContext, DynDiscover};
use phalanx_jobs::{Jobs, RegisterError, WorkerIdentity};
use phalanx_transport::{BindError, ClusterId, Credential, Endpoint, LocalNode};

use crate::config::Config;
use crate::environment::Environment;
use crate::error::StartError;
use crate::links::{LinkTable, SharedLinks};
use crate::spawn::NodeSpawn;

/// What both builders offer, written once.
macro_rules! node_builder {
    ($builder:ident, $listen:literal) => {
        impl $builder {
            /// The node's name. Without one it gets a random one, which it keeps in its store.
            pub fn id(mut self, id: &str) -> Self {
                self.setup.set_id(id);
                self
            }

            #[doc = $listen]
            pub fn listen(mut self, address: &str) -> Self {
                address.clone_into(&mut self.setup.listen);
                self
            }

            /// How to find control nodes. May be called several times: what all strategies find is tried.
            pub fn discover(mut self, strategy: impl phalanx_discovery::Discover) -> Self {
                self.setup.discover(strategy);
                self
            }

            /// What the node is labelled with.
            pub fn labels(mut self, labels: phalanx_base::Labels) -> Self {
                self.setup.labels = labels;
                self
            }

            /// Adds a job class that the node runs.
            pub fn job<C: phalanx_jobs::JobClass>(
                mut self,
                handler: impl phalanx_jobs::JobHandler<C>,
            ) -> Self {
                let registered = self.setup.jobs.register::<C, _>(handler);
                self.setup.note(registered);
                self
            }

            /// Timing and caps.
            pub fn config(mut self, config: crate::Config) -> Self {
                self.setup.config = config;
                self
            }

            /// What the node takes from outside; the real world unless something else is given here.
            pub fn environment(mut self, environment: crate::Environment) -> Self {
                self.setup.environment = Some(environment);
                self
            }
        }
    };
}
pub(crate) use node_builder;

/// The names in the store.
pub(crate) mod stored {
    pub(crate) const NODE_ID: &str = "node-id";
    pub(crate) const GENERATION: &str = "generation";
    pub(crate) const ROSTER: &str = "roster";
    pub(crate) const PEERS: &str = "peers";
    pub(crate) const SERVED: &str = "served";
    pub(crate) const METADATA: &str = "metadata";
}

/// What a builder has been told. The first mistake is kept until `start`.
pub(crate) struct Setup {
    pub(crate) cluster: String,
    pub(crate) credential: Credential,
    pub(crate) id: Option<NodeId>,
    pub(crate) listen: String,
    pub(crate) labels: Labels,
    pub(crate) jobs: Jobs,
    pub(crate) strategies: Vec<DynDiscover>,
    pub(crate) config: Config,
    pub(crate) environment: Option<Environment>,
    mistake: Option<StartError>,
}

/// A node that has a name, a boot and a socket, and does nothing yet.
pub(crate) struct Base {
    pub(crate) boot: Boot,
    pub(crate) endpoint: Endpoint,
    pub(crate) links: SharedLinks,
    pub(crate) spawn: Arc<NodeSpawn>,
    pub(crate) environment: Environment,
    /// What it says of itself as a worker.
    pub(crate) identity: WorkerIdentity,
    pub(crate) jobs: Jobs,
    pub(crate) strategies: Vec<DynDiscover>,
    pub(crate) config: Config,
    /// The cluster's name and id, and what tells its control nodes from strangers.
    pub(crate) cluster: String,
    pub(crate) cluster_id: ClusterId,
    pub(crate) seal: Arc<dyn ClusterSeal>,
}

impl Setup {
    pub(crate) fn new(cluster: String, credential: Credential, listen: &str) -> Self {
        Self {
            cluster,
            credential,
            id: None,
            listen: listen.to_owned(),
            labels: Labels::default(),
            jobs: Jobs::default(),
            strategies: Vec::new(),
            config: Config::default(),
            environment: None,
            mistake: None,
        }
    }

    pub(crate) fn set_id(&mut self, id: &str) {
        match NodeId::new(id) {
            Ok(id) => self.id = Some(id),
            Err(error) => self.mistake(error),
        }
    }

    pub(crate) fn discover(&mut self, strategy: impl Discover) {
        self.strategies.push(DynDiscover::new(strategy));
    }

    pub(crate) fn note(&mut self, registered: Result<(), RegisterError>) {
        if let Err(error) = registered {
            self.mistake(error);
        }
    }

    pub(crate) fn mistake(&mut self, error: impl Into<StartError>) {
        self.mistake.get_or_insert(error.into());
    }

    /// Takes a name and a boot, and binds the socket.
    pub(crate) fn prepare(self, role: Role) -> Result<Base, StartError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        if !self.credential.may_be(role) {
            return Err(StartError::Role { role });
        }
        let listen: SocketAddr =
            self.listen.parse().map_err(|_| StartError::Listen { given: self.listen.clone() })?;
        let environment = match self.environment {
            Some(environment) => environment,
            None => Environment::real().map_err(StartError::Runtime)?,
        };
        let boot = boot(self.id, &environment)?;
        let links = SharedLinks::new(LinkTable::new(boot.node.clone()));
        let seal = self.credential.seal(&self.cluster).map_err(BindError::from)?;
        let cluster_id = ClusterId::derive(&self.cluster, &self.credential).map_err(BindError::from)?;
        let mut config = self.config.endpoint;
        if role == Role::Worker {
            // A worker dials, and where its own socket is nobody is told but over QUIC.
            (config.listen_tls, config.listen_websocket) = (false, false);
        }
        let endpoint = Endpoint::bind(
            config,
            LocalNode { cluster: self.cluster.clone(), boot: boot.clone(), role },
            self.credential,
            listen,
            &environment.seams(),
            Arc::new(links.clone()),
        )?;
        let classes = self.jobs.names();
        let identity = WorkerIdentity { boot: boot.clone(), role, labels: self.labels, classes };
        Ok(Base {
            boot,
            endpoint,
            links,
            spawn: Arc::new(NodeSpawn::new(environment.spawn.clone())),
            environment,
            identity,
            jobs: self.jobs,
            strategies: self.strategies,
            config: self.config,
            cluster: self.cluster,
            cluster_id,
            seal,
        })
    }
}

impl Base {
    /// What the strategies of this node take from outside.
    pub(crate) fn discover_context(&self) -> DiscoverContext {
        let cluster = ClusterScope { id: self.cluster_id.to_string(), seal: self.seal.clone() };
        DiscoverContext::new(self.environment.resolver.clone(), self.environment.entropy.clone())
            .with_cluster(cluster)
    }
}

/// The node's name, from the user, the store or chance; and a generation above the stored one, stored before it is used.
fn boot(given: Option<NodeId>, environment: &Environment) -> Result<Boot, StartError> {
    let store = environment.store.as_ref();
    let node = match given {
        Some(id) => id,
        None => match store.read(stored::NODE_ID)?.map(String::from_utf8) {
            Some(Ok(name)) => NodeId::new(&name)?,
            _ => {
                let id = NodeId::from_bits(environment.entropy.bits128());
                store.write(stored::NODE_ID, id.as_str().as_bytes())?;
                id
            }
        },
    };
    let last =
        store.read(stored::GENERATION)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let random = (environment.entropy.bits64() & 0xffff) as u16;
    if let (true, Some(last)) = (planted!("same-generation"), last) {
        return Ok(Boot { node, generation: Generation::from_u64(last) });
    }
    let generation =
        Generation::next(environment.wall_clock.unix_ms(), last.map(Generation::from_u64), random);
    store.write(stored::GENERATION, &generation.as_u64().to_le_bytes())?;
    Ok(Boot { node, generation })
}

/// Where others reach a socket that is bound to `local`. One that is bound to every interface is reached at the address
/// from which this machine would send to the internet; nothing is sent to find that out.
pub(crate) fn advertised(local: SocketAddr) -> AddressList {
    let ip = if local.ip().is_unspecified() { outbound_ip() } else { local.ip() };
    AddressList::from(Address::from(SocketAddr::new(ip, local.port())))
}

/// An address of the block that is reserved for documentation (RFC 5737): connecting a UDP socket only chooses a route.
const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

fn outbound_ip() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(ANYWHERE)?;
        socket.local_addr()
    };
    route().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
