//! The worker's half of shipped code.

use std::sync::Arc;

use phalanx_jobs::{JobHandler, RequestContext, TaskContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::class::{Wasm, WasmOutput, WasmReply, WasmRequest, WasmWork};
use super::error::WasmError;
use super::machine::Machine;
use super::policy::{WasmPolicy, WasmPolicyError};
use super::store::Store;
use super::{pushing, running};

/// The worker's half: register it with `.job::<Wasm>(WasmHost::open(…)?)`. Nothing is allowed beyond its policy. Whoever may
/// ask the worker may call each function, switch and remove; what runs at all is decided by the keys of the policy.
#[derive(Debug)]
pub struct WasmHost {
    policy: WasmPolicy,
    machine: Arc<Machine>,
    store: Arc<Store>,
    pushes: Arc<Semaphore>,
    compiles: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    tasks: Arc<Semaphore>,
}

impl WasmHost {
    /// Puts a policy in force, starts the thread that counts the time of guests, and compiles what was kept: that blocks for
    /// as long as it takes. A module that is damaged, or that the policy does not allow any more, is left out and stays on the
    /// disk; the log says which, and why.
    ///
    /// # Errors
    /// [`WasmPolicyError`] says what to change; nothing is in force.
    pub fn open(policy: WasmPolicy) -> Result<Self, WasmPolicyError> {
        policy.check()?;
        let limits = policy.limits;
        let machine = Machine::new(limits, &policy.grants)?;
        let store = Arc::new(Store::open(&policy, &machine)?);
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            policy,
            machine,
            store,
            pushes: permits(limits.pushes_max),
            compiles: permits(1),
            calls: permits(limits.calls_max),
            tasks: permits(limits.tasks_max),
        })
    }

    pub(super) fn policy(&self) -> &WasmPolicy {
        &self.policy
    }

    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn compiles(&self) -> Arc<Semaphore> {
        self.compiles.clone()
    }

    /// Changes the store, which may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        cx: &RequestContext,
        change: impl FnOnce(&Store) -> Result<T, WasmError> + Send + 'static,
    ) -> Result<T, WasmError> {
        let store = self.store.clone();
        cx.blocking(move || change(&store)).await.unwrap_or(Err(WasmError::Panicked))
    }
}

fn permit(of: &Arc<Semaphore>, running_max: usize) -> Result<OwnedSemaphorePermit, WasmError> {
    of.clone().try_acquire_owned().map_err(|_| WasmError::Busy { running_max: running_max as u64 })
}

impl JobHandler<Wasm> for WasmHost {
    async fn request(&self, cx: RequestContext, request: WasmRequest) -> Result<WasmReply, WasmError> {
        match request {
            WasmRequest::List => Ok(WasmReply::Modules(self.store.list())),
            WasmRequest::Call { entry, input } => {
                let permit = permit(&self.calls, self.policy.limits.calls_max)?;
                running::call(self, &cx, permit, &entry, input).await.map(WasmReply::Returned)
            }
            WasmRequest::Switch { module, version } => {
                let change = move |store: &Store| {
                    store.switch(&module, &version).map(|()| WasmReply::Default(version))
                };
                self.change(&cx, change).await
            }
            WasmRequest::RollBack { module, from } => {
                self.change(&cx, move |store| store.roll_back(&module, &from).map(WasmReply::Default)).await
            }
            WasmRequest::Remove { module, version } => {
                let change =
                    move |store: &Store| store.remove(&module, &version).map(|()| WasmReply::Removed);
                self.change(&cx, change).await
            }
        }
    }

    async fn task(&self, cx: TaskContext<Wasm>, work: WasmWork) -> Result<WasmOutput, WasmError> {
        let limits = self.policy.limits;
        match work {
            WasmWork::Push(announced) => {
                let _permit = permit(&self.pushes, limits.pushes_max)?;
                pushing::push(self, &cx, announced).await.map(WasmOutput::Pushed)
            }
            WasmWork::Run { entry, input } => {
                let permit = permit(&self.tasks, limits.tasks_max)?;
                running::run(self, &cx, permit, &entry, input).await.map(WasmOutput::Returned)
            }
        }
    }
}
