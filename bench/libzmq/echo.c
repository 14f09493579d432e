/* Echoes messages between a DEALER and a ROUTER of libzmq over TCP on the
 * loopback interface, both in this process, each in a context with one I/O
 * thread of its own:
 *
 *     echo BYTES INFLIGHT MILLISECONDS
 *
 * prints how many went there and back in a second, and the nanoseconds of
 * processor time that each took. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

static void check(int failed, const char *what)
{
    if (!failed)
        return;
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double processor_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void *serve(void *router)
{
    for (;;) {
        zmq_msg_t identity, body;
        zmq_msg_init(&identity);
        zmq_msg_init(&body);
        check(zmq_msg_recv(&identity, router, 0) < 0, "receive of the server");
        check(zmq_msg_recv(&body, router, 0) < 0, "receive of the server");
        check(zmq_msg_send(&identity, router, ZMQ_SNDMORE) < 0, "send of the server");
        check(zmq_msg_send(&body, router, 0) < 0, "send of the server");
    }
    return NULL;
}

static int size;
static char *text;

static void ask(void *dealer)
{
    check(zmq_send(dealer, text, size, 0) < 0, "send");
}

/* exchange goes on for a time, and returns how many came back. */
static long exchange(void *dealer, double seconds)
{
    double end = clock_seconds() + seconds;
    long n = 0;
    zmq_msg_t m;
    zmq_msg_init(&m);
    do {
        for (int i = 0; i < 64; i++, n++) {
            check(zmq_msg_recv(&m, dealer, 0) < 0, "receive");
            if ((int) zmq_msg_size(&m) != size || memcmp(zmq_msg_data(&m), text, size) != 0) {
                fprintf(stderr, "another text came back\n");
                exit(1);
            }
            ask(dealer);
        }
    } while (clock_seconds() < end);
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: echo BYTES INFLIGHT MILLISECONDS\n");
        return 2;
    }
    size = atoi(argv[1]);
    text = malloc(size);
    memset(text, 'x', size);
    void *router = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER), *dealer = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
    check(zmq_bind(router, "tcp://127.0.0.1:*") < 0, "bind");
    char endpoint[256];
    size_t length = sizeof endpoint;
    check(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &length) < 0, "endpoint");
    check(zmq_connect(dealer, endpoint) < 0, "connect");
    pthread_t server;
    if (pthread_create(&server, NULL, serve, router) != 0)
        return 1;
    for (int i = atoi(argv[2]); i > 0; i--)
        ask(dealer);
    double seconds = atoi(argv[3]) / 1e3;
    exchange(dealer, seconds / 4);
    double start = clock_seconds(), used = processor_seconds();
    long n = exchange(dealer, seconds);
    double took = clock_seconds() - start;
    printf("%.0f %.0f\n", n / took, (processor_seconds() - used) / n * 1e9);
    return 0; /* the threads end with the process */
}
