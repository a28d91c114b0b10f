mod gateway;
mod leases;
mod records;
mod speed;
mod streams;
