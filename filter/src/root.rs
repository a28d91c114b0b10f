//! A plugin's root context: it reads the configuration and plays the role.

use std::rc::Rc;

use latchkey_filter_core::view::View;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::configuration::Configuration;
use crate::gate::{Exchange, SharedView};
use crate::host::attempt;
use crate::shared_data::SharedData;
use crate::sync::{Sync, TICK};

/// The context of one plugin on one thread. Until it is configured it plays no role.
#[derive(Default)]
pub struct Root {
    role: Option<Role>,
}

enum Role {
    Gate(SharedView),
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
        match Configuration::parse(&read.flatten().unwrap_or_default()) {
            Ok(Configuration::Gate {}) => self.role = Some(Role::Gate(Rc::new(View::new(SharedData)))),
            Ok(Configuration::Sync(configuration)) => {
                self.role = Some(Role::Sync(Box::new(Sync::new(configuration))));
                return attempt("set_tick_period", hostcalls::set_tick_period(TICK)).is_some();
            }
            Err(error) => {
                log::error!("{error}");
                return false;
            }
        }
        true
    }

    fn on_tick(&mut self) {
        if let Some(sync) = self.sync() {
            sync.tick();
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        match &self.role {
            Some(Role::Gate(view)) => Some(Box::new(Exchange::new(Rc::clone(view)))),
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
