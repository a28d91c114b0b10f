//! A plugin's root context: it reads the configuration and plays the role.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::configuration::Configuration;
use crate::gate::Exchange;
use crate::host::attempt;
use crate::sync::{self, Sync};
use crate::worker::{self, Worker};

/// The context of one plugin on one thread. Until it is configured it plays no role.
#[derive(Default)]
pub struct Root {
    role: Option<Role>,
}

enum Role {
    Gate(Rc<Worker>),
    Sync(Box<Sync>),
}

impl Root {
    fn sync(&mut self) -> Option<&mut Sync> {
        match &mut self.role {
            Some(Role::Sync(sync)) => Some(sync),
            Some(Role::Gate(_)) | None => None,
        }
    }
}

impl RootContext for Root {
    /// Runs first in a throwaway VM: nothing may be opened here.
    fn on_configure(&mut self, size: usize) -> bool {
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size));
        let (role, tick) = match Configuration::parse(&read.flatten().unwrap_or_default()) {
            Ok(Configuration::Gate {}) => (Role::Gate(Rc::new(Worker::new())), worker::TICK),
            Ok(Configuration::Sync(configuration)) => {
                (Role::Sync(Box::new(Sync::new(configuration))), sync::TICK)
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
            Some(Role::Sync(sync)) => sync.tick(),
            Some(Role::Gate(worker)) => worker.tick(),
            None => {}
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        match &mut self.role {
            Some(Role::Sync(sync)) => sync.wake(queue),
            Some(Role::Gate(worker)) => worker.wake(queue),
            None => {}
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        match &self.role {
            Some(Role::Gate(worker)) => Some(Box::new(Exchange::new(id, Rc::clone(worker)))),
            Some(Role::Sync(_)) | None => None,
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Root {
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
