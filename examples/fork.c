/* A child process with a snapshot of managed memory, as a database makes one to write it to disk. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <quire/quire.h>

#define MIB ((size_t)1 << 20)

static size_t nr_wrong(const char *data, int wanted)
{
	size_t nr = 0;

	for (size_t i = 0; i < 48 * MIB; i += 4096)
		nr += data[i] != (char)wanted;
	return nr;
}

static int snapshot(struct qr_manager *manager, char *data)
{
	int status = 0, error = qr_manager_fork_prepare(manager);
	pid_t pid;

	if (error)
		return error;
	pid = fork();
	if (pid == 0)
		_exit(qr_manager_fork_child(manager) ? 2 : nr_wrong(data, 1) ? 3 : 0);
	qr_manager_fork_parent(manager, pid);
	if (pid < 0)
		return QR_EAGAIN;
	memset(data, 2, 48 * MIB); /* the child does not see it */
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "fork: the child ended with status 0x%x\n", (unsigned)status);
		return QR_EFAULT;
	}
	return nr_wrong(data, 2) ? QR_EILSEQ : 0;
}

int main(void)
{
	struct qr_options options;
	struct qr_manager *manager;
	const char *why;
	void *address = NULL;
	int error;

	qr_options_init(&options);
	options.ram_bytes = 32 * MIB;
	options.swap_dir = "/var/tmp";
	error = qr_manager_open(&options, &manager, &why);
	if (error) {
		fprintf(stderr, "fork: %s\n", why);
		return error == QR_EPERM || error == QR_ENOSYS ? 77 : 1;
	}
	error = qr_manager_map(manager, &address, 48 * MIB, PROT_READ | PROT_WRITE, 0);
	if (!error) {
		memset(address, 1, 48 * MIB);
		error = snapshot(manager, address);
	}
	if (error)
		fprintf(stderr, "fork: %s\n", qr_strerror(error));
	else
		printf("the child saw its snapshot, the parent its own writes\n");
	qr_manager_close(manager);
	return error ? 1 : 0;
}
