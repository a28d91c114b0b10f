pub mod gateway;
mod leases;
mod records;
mod streams;
