//! A plugin's root context: it reads the configuration and plays the role.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

#[cfg(not(feature = "anatomy"))]
use crate::anatomy::Part;
use crate::attempt::AttemptExchange;
use crate::configuration::PluginConfiguration;
use crate::gate::HttpExchange;
use crate::host::attempt;
use crate::sync::{self, SyncRole};
use crate::worker::{self, GateWorker};

/// The context of one plugin on one thread. Until it is configured it plays no role.
pub struct Root {
    id: u32,
    role: Option<PluginRole>,
}

enum PluginRole {
    Gate(Rc<GateWorker>),
    Sync(Box<SyncRole>),
    /// In front of this provider.
    Attempt(Rc<str>),
    #[cfg(feature = "anatomy")]
    Floor,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, role: None }
    }

    fn sync(&mut self) -> Option<&mut SyncRole> {
        match &mut self.role {
            Some(PluginRole::Sync(sync)) => Some(sync),
            _ => None,
        }
    }
}

impl RootContext for Root {
    /// Runs first in a throwaway VM: nothing may be opened here.
    fn on_configure(&mut self, size: usize) -> bool {
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size));
        let (role, tick) = match PluginConfiguration::parse(&read.flatten().unwrap_or_default()) {
            #[cfg(not(feature = "anatomy"))]
            Ok(PluginConfiguration::Gate {}) => {
                (PluginRole::Gate(Rc::new(GateWorker::new(self.id, Part::All))), worker::TICK)
            }
            #[cfg(feature = "anatomy")]
            Ok(PluginConfiguration::Gate { until }) => {
                (PluginRole::Gate(Rc::new(GateWorker::new(self.id, until))), worker::TICK)
            }
            #[cfg(feature = "anatomy")]
            Ok(PluginConfiguration::Floor {}) => (PluginRole::Floor, worker::TICK),
            Ok(PluginConfiguration::Sync(configuration)) => {
                (PluginRole::Sync(Box::new(SyncRole::new(configuration))), sync::TICK)
            }
            Ok(PluginConfiguration::Attempt(configuration)) => {
                self.role = Some(PluginRole::Attempt(configuration.provider.into()));
                return true;
            }
            Err(error) => {
                log::error!("{error}");
                return false;
            }
        };
        self.role = Some(role);
        attempt("set_tick_period", hostcalls::set_tick_period(tick)).is_some()
    }

    fn on_tick(&mut self) {
        match &mut self.role {
            Some(PluginRole::Sync(sync)) => sync.tick(),
            Some(PluginRole::Gate(worker)) => worker.tick(),
            _ => {}
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        match &mut self.role {
            Some(PluginRole::Sync(sync)) => sync.wake(queue),
            Some(PluginRole::Gate(worker)) => worker.wake(queue),
            _ => {}
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        match &self.role {
            Some(PluginRole::Gate(worker)) => Some(Box::new(HttpExchange::new(id, Rc::clone(worker)))),
            Some(PluginRole::Attempt(provider)) => Some(Box::new(AttemptExchange::new(Rc::clone(provider)))),
            #[cfg(feature = "anatomy")]
            Some(PluginRole::Floor) => Some(Box::new(crate::anatomy::Floor)),
            Some(PluginRole::Sync(_)) | None => None,
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Root {
    /// Of a request that was decided on here, since it had waited.
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if let Some(PluginRole::Gate(worker)) = &self.role {
            worker.heard(token, headers, size);
        }
    }

    fn on_grpc_stream_initial_metadata(&mut self, token: u32, _: u32) {
        if let Some(sync) = self.sync() {
            sync.accepted(token);
        }
    }

    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        if let Some(sync) = self.sync() {
            sync.receive(token, size);
        }
    }

    fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
        if let Some(sync) = self.sync() {
            sync.closed(token, status);
        }
    }
}
