/*
 * The real main() of a program whose own main() was renamed to daemon_main(): shows the tracer
 * where the program begins, after the dynamic loader and the constructors.
 */
#include <unistd.h>

int daemon_main(int argc, char *argv[]);

int main(int argc, char *argv[])
{
    close(-1000001); /* harmless, and nobody else does it */
    return daemon_main(argc, argv);
}
