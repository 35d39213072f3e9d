/*
 * Loaded into the Java process of DynamoDB Local by LD_PRELOAD, for two things that it has no option for.
 * It listens on this machine alone, and it ends when the one who started it is gone without a farewell.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Java runs with java.net.preferIPv4Stack, so an address of another family is not one that it listens on. */
int bind(int socket, const struct sockaddr *address, socklen_t length)
{
    int (*bind_of_the_library)(int, const struct sockaddr *, socklen_t);
    *(void **)&bind_of_the_library = dlsym(RTLD_NEXT, "bind");
    if (address->sa_family != AF_INET || length < sizeof(struct sockaddr_in)) {
        return bind_of_the_library(socket, address, length);
    }
    struct sockaddr_in loopback;
    memcpy(&loopback, address, sizeof loopback);
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind_of_the_library(socket, (const struct sockaddr *)&loopback, sizeof loopback);
}

/* Standard input is a pipe that the starter holds and never writes to. */
static void *stay_until_the_starter_is_gone(void *unused)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    kill(0, SIGKILL);
    return unused;
}

__attribute__((constructor)) static void start_watching(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, NULL, stay_until_the_starter_is_gone, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
