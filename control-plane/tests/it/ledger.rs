pub mod gateway;
mod leases;
mod lost;
mod records;
mod streams;
