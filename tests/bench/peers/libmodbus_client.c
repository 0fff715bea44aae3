/* Reads holding registers over and over: libmodbus_client DEVICE BAUD UNIT COUNT SECONDS */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    modbus_t *bus = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 1);
    int count = atoi(argv[4]);
    uint16_t registers[125];
    modbus_set_slave(bus, atoi(argv[3]));
    modbus_set_response_timeout(bus, 3, 0);
    if (modbus_connect(bus)) {
        perror("connect");
        return 1;
    }
    for (double end = now() + atof(argv[5]); now() < end;)
        if (modbus_read_registers(bus, 0, count, registers) != count) {
            fprintf(stderr, "%s\n", modbus_strerror(errno));
            return 1;
        }
    return 0;
}
