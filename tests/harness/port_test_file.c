/*
 * The test port: mapped files and growing memory. Byte i of a file is a function of its handle and i, which
 * port_test_file_byte() tells; files have no end.
 */
#include "port_test_priv.h"

uint32_t qr_port_memory_grow(struct qr_port *port, uint32_t nr)
{
	port_test_grow_fn grow = port->grow;

	count_add(port, nr_grow_calls, 1);
	return grow ? grow(port->grow_context, nr) : 0;
}

void port_test_set_grow(struct qr_port *port, port_test_grow_fn grow, void *context)
{
	port->grow = grow;
	port->grow_context = context;
}

int qr_port_file_read(struct qr_port *port, void *file, uint64_t offset_bytes, void *buffer, uint32_t len_bytes)
{
	uint8_t *bytes = buffer;
	bool is_failing;

	port_test_lock(&port->io_lock);
	is_failing = port_test_strikes(&port->fail_file);
	port_test_unlock(&port->io_lock);
	count_add(port, nr_file_reads, 1);
	if (is_failing)
		return port->fail_file.error;
	for (uint32_t i = 0; i < len_bytes; i++)
		bytes[i] = port_test_file_byte(file, offset_bytes + i);
	return 0;
}

void port_test_fail_file(struct qr_port *port, uint32_t nth, int error)
{
	port_test_lock(&port->io_lock);
	port->fail_file = (struct port_test_injection){nth, 0, error};
	port_test_unlock(&port->io_lock);
}

void qr_port_file_close(struct qr_port *port, void *file)
{
	(void)file;
	count_add(port, nr_file_closes, 1);
}

void qr_port_content_lost(struct qr_port *port, uint64_t va, int error)
{
	(void)va;
	(void)error;
	count_add(port, nr_content_lost, 1);
	qr_port_panic(__FILE__, __LINE__, "the content of a page is lost");
}
